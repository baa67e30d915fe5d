"""Text Embeddings Inference (TEI): what it can serve, how it is told to, and its container on this machine."""
