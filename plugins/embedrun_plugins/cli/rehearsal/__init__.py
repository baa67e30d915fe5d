"""`embedrun run --rehearse`: every stage on a handful of rows, in order, nothing outside touched."""
