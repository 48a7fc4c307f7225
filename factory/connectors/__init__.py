"""Where raw rows come from: the protocols of a source, and the sources that are shipped."""
