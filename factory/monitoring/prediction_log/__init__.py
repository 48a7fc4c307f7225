"""What the gateway was asked and answered, from its files into the lake."""
