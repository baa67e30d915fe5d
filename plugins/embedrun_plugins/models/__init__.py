"""One embedding model on this machine: read, tokenize, encode, search, export, serve."""
