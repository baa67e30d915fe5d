"""Losses that rerankers are trained with."""
