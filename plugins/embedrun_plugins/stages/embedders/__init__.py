"""Models to compare with, wherever they run."""
