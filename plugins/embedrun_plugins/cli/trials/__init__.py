"""Trials of a recipe with other settings, chosen between on its dev split."""
