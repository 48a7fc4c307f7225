"""What a model takes, gives and is: signature, candidate, verdict, and the one way to run its file."""
