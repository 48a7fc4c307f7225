"""WHAT this factory makes: one folder a line, with its file and the Python that YAML cannot say."""
