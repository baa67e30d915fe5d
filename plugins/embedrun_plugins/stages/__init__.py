"""What a recipe may name: a folder for each key, and what several of them share."""
