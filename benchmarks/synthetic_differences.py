"""Sets of differences between two models whose true mean is known, for `coverage.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _rank_differences(shift: float) -> tuple[Floats, Floats]:
    """Return differences of reciprocal discounts (nDCG of one relevant document), and how likely each is."""
    rng = np.random.default_rng(1)
    worth = np.append(1 / np.log2(np.arange(2, 12)), 0.0)
    ease = rng.normal(0, 1.2, 400_000)
    base, tuned = (
        worth[np.floor(np.exp(ease + rng.normal(0, 0.7, ease.size) + 1 - gain)).astype(int).clip(0, 10)]
        for gain in (0.0, shift)
    )
    differences = np.round(tuned - base, 9)
    values, counts = np.unique(differences if shift else np.append(differences, -differences), return_counts=True)
    return values, counts / counts.sum()


METRICS: dict[str, tuple[Floats, Floats]] = {
    name: (np.array(values, float), np.array(shares, float))
    for name, (values, shares) in {
        "nDCG@10, no gain": _rank_differences(0.0),
        "nDCG@10, gain": _rank_differences(0.5),
        "hit rate 0.5 to 0.57": ([1, -1, 0], [0.15, 0.08, 0.77]),
        "hit rate 0.02, no gain": ([1, -1, 0], [0.01, 0.01, 0.98]),
        "hit rate 0.02 to 0.06": ([1, -1, 0], [0.05, 0.01, 0.94]),
        "hit rate 0.98 to 0.94": ([1, -1, 0], [0.01, 0.05, 0.94]),
        "rare gains, no gain": ([0.6, -0.05, 0], [0.05, 0.6, 0.35]),
    }.items()
}
"""Differences by query and how likely each is. The last is the hardest: 5% of queries gain much, most lose a little."""


@dataclass(frozen=True)
class Design:
    """So many units of so many queries each (0: 1 to 20), and how alike the queries of a unit are."""

    units: int
    size: int
    correlation: float

    @property
    def sizes(self) -> str:
        return str(self.size) if self.size else "1–20"  # noqa: RUF001 - a range


def designs() -> Iterator[Design]:
    for size, correlations in ((1, (0.0,)), (5, (0.3, 0.8)), (0, (0.0, 0.3, 0.8))):
        for units in (10, 30, 100, 2000 // (size or 10)):
            yield from (Design(units, size, correlation) for correlation in correlations)


@dataclass(frozen=True)
class Drawn:
    values: Floats
    """(sets, units, largest size), 0 where a unit is smaller."""
    sizes: Floats
    """(sets, units)"""

    @property
    def sums(self) -> Floats:
        return np.asarray(self.values.sum(axis=2, dtype=np.float64))

    @property
    def present(self) -> NDArray[np.bool_]:
        return np.arange(self.values.shape[2]) < self.sizes[:, :, None]


def draw(metric: str, design: Design, sets: int, rng: np.random.Generator) -> Drawn:
    """Draw sets. Each query takes its unit's value with the root of the correlation, else one of its own.

    So two queries of a unit have exactly that correlation, and every query the metric's distribution.
    """
    values, shares = METRICS[metric]
    edges = shares.cumsum()
    edges[-1] = 1.0

    def independent(*shape: int) -> NDArray[np.float32]:
        return values.astype(np.float32)[
            np.searchsorted(edges, rng.random(shape), side="right").clip(0, len(values) - 1)
        ]

    shape = (sets, design.units)
    sizes = rng.integers(1, 21, shape) if design.size == 0 else np.full(shape, design.size)
    drawn = independent(*shape, int(sizes.max()))
    if design.correlation:
        shared = rng.random(drawn.shape, dtype=np.float32) < design.correlation**0.5
        drawn = np.where(shared, independent(*shape, 1), drawn)
    drawn[np.arange(drawn.shape[2]) >= sizes[:, :, None]] = 0
    return Drawn(drawn, sizes.astype(np.float64))
