"""Where things are kept: the home, the lake, the journal, atomic files and locks."""
