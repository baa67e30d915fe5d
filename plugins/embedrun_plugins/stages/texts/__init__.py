"""Texts that are compared with each other: keys, near copies, leaks, sentences."""
