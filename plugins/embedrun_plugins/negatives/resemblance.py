"""Passages that nearly equal an answer: compared with the query's own answers only, when they are about to be taken."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embedrun_plugins.near_duplicates import digits, runs

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEPT = 4096
"""Texts whose runs are remembered."""


class Resemblance:
    """Says whether a text nearly equals one of others, by the Jaccard similarity of their runs of letters."""

    def __init__(self, threshold: float | None) -> None:
        self.threshold = threshold
        self._runs = lru_cache(maxsize=_KEPT)(lambda text: np.unique(runs(text)))

    def of_any(self, text: str, others: Sequence[str]) -> bool:
        if self.threshold is None:
            return False
        own = digits(text)
        return any(self._near(self._runs(text), self._runs(other)) for other in others if digits(other) == own)

    def _near(self, one: NDArray[np.uint64], other: NDArray[np.uint64]) -> bool:
        if min(len(one), len(other)) < (self.threshold or 0) * max(len(one), len(other)):
            return False
        shared = len(np.intersect1d(one, other, assume_unique=True))
        return shared >= (self.threshold or 0) * (len(one) + len(other) - shared)
