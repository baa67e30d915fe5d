"""Scales and ticks of a plot, in per cent of its width, so that it fits any screen without shrinking its letters."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from embedrun_plugins.results.phrases import MINUS


@dataclass(frozen=True)
class Scale:
    """Maps values to places between two others."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def around(cls, values: Iterable[float], start: float, end: float, *, room: float = 0.06) -> Scale:
        """Return a scale that holds the values with some room to both sides, as a share of their spread."""
        finite = [value for value in values if math.isfinite(value)]
        low, high = min(finite, default=0.0), max(finite, default=1.0)
        spread = (high - low) or abs(high) * 0.2 or 1.0
        return cls(low - room * spread, high + room * spread, start, end)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 3)

    def ticks(self, most: int = 5) -> list[float]:
        """Return round values within the scale, at most so many."""
        spread = self.high - self.low
        power = 10.0 ** math.floor(math.log10(spread / most))
        steps: Sequence[float] = [power * factor for factor in (1, 2, 2.5, 5, 10, 20)]
        step = next(step for step in steps if spread / step <= most)
        first = math.ceil(self.low / step)
        return [round(number * step, 12) for number in range(first, math.floor(self.high / step) + 1)]


def labels(values: Sequence[float]) -> list[str]:
    """Write ticks with as many digits as tell them apart, thousands as k."""
    if values and min(abs(value) for value in values if value or len(values) == 1) >= 1000:  # noqa: PLR2004 - a k
        return [f"{value / 1000:g}k" if value else "0" for value in values]
    digits = next((n for n in range(7) if all(abs(round(v, n) - v) < 10 ** -(n + 3) for v in values)), 6)
    return [f"{value:.{digits}f}".replace("-", MINUS) for value in values]
