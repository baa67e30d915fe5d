"""Containers that a run is carried out in: what they see, how they are followed, and how they end."""
