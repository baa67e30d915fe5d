"""Mixing the tuned model with the one it started from."""
