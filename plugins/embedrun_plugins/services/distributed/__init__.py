"""Training in several processes, on one machine or on several, each with its own share of every batch."""
