"""The command line: one module a group of commands, and what a person sees of them."""
