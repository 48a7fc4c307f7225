"""What can be asked, over HTTP and gRPC: the Open Inference Protocol, business decisions, pages."""
