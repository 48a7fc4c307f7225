"""Pictures as data and as self-contained SVG, and numbers as a person writes them; it knows nothing of models."""
