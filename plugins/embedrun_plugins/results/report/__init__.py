"""The report of a run: one self-contained HTML file, made without torch, numpy or a network."""
