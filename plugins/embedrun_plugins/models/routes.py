"""What differs between models that are no plain transformer: their routes, and whether they cut texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_ROUTES = {"query": "query", "document": "document", "passage": "document", "corpus": "document"}
"""The route that texts of each prompt's name take, where a model has one of its own for queries."""


def routes_of(loaded: SentenceTransformer) -> dict[str, str]:
    """Return the route for each prompt's name; none where all texts go the same way."""
    from sentence_transformers.base.modules import Router

    routes = {name for module in loaded if isinstance(module, Router) for name in module.sub_modules}
    return {name: route for name, route in _ROUTES.items() if route in routes}


def length_of(loaded: SentenceTransformer) -> int | None:
    """Return how many tokens of a text a model reads; None where it reads all, which static models call infinity."""
    length: float | None = loaded.max_seq_length
    return None if length is None or math.isinf(length) else int(length)
