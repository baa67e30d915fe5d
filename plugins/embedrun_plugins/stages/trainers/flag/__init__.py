"""FlagEmbedding's runner in processes of its own: what it is given, how it is watched, what is made of its result."""
