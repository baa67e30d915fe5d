"""Rehearsals: a recipe's own stages on a handful of rows, with nothing outside touched (`embedrun run --rehearse`)."""
