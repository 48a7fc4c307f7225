"""Where raw rows come from: what a source must be able to say and give, and the sources that are shipped."""
