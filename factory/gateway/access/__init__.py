"""Who may ask what: API keys, the file they are kept in, and what each has spent."""
