"""Language models behind outside services: requests, replies, budgets."""
