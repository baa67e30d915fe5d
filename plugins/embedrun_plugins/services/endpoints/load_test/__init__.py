"""How fast an endpoint answers, and how much, under a fixed number of clients."""
