"""Rerankers: what re-orders the first passages that an embedder finds."""
