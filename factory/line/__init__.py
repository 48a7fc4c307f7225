"""What a line is: one module a section of its file."""
