"""Embedding texts without computing padding, in training and in evaluation."""
