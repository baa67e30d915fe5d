"""Mixing the tuned model with the one it started from."""

from embedrun_plugins.stages.mergers.linear import Linear
from embedrun_plugins.stages.mergers.search import Search

MERGERS = (Linear, Search)
