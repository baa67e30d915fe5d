"""What generated queries carry as metadata."""

STYLE = "style"
"""Name of the style that it was asked in."""
PASSAGES_NEEDED = "passages_needed"
"""How many passages answer it only together."""
