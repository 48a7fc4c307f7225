"""What runs frames and tensors, and how work over many sites keeps one failure from stopping the others."""
