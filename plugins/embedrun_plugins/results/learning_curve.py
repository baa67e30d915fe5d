"""A learning curve: what a recipe's model scores on growing shares of its training data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from embedrun_plugins.results.phrases import MINUS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from embedrun_plugins.results.extrapolation import Doubling

Units = Mapping[str, int]
"""The independent unit of each test query, by its id."""
_FEWEST_CHECKED = 4
"""Shares from which on the method is tried on the curve itself, without its last point."""


@dataclass(frozen=True)
class CurvePoint:
    """One share: how many queries it was trained on, and how its model compares with the base."""

    share: float
    queries: int
    run: str
    """The run's folder."""
    base: float
    model: float
    difference: float
    low: float | None
    high: float | None
    verdict: str | None
    cached: bool
    """Whether the training was there already."""


@dataclass(frozen=True)
class LearningCurve:
    """A recipe's learning curve by one metric, and what twice the data would bring."""

    name: str
    evaluator: str
    metric: str
    role: str
    points: Sequence[CurvePoint]
    queries: int
    """Test queries, the same for every share."""
    units: int
    doubling: Doubling
    check: Doubling | None
    """What the shares before the last would have promised for the last one, where that is twice its predecessor."""
    stages_run: Mapping[str, int]
    """How often each stage was carried out for this curve; the rest was reused."""

    def dump(self) -> dict[str, Any]:
        """Return the curve as JSON."""
        return {**asdict(self), "points": [asdict(point) for point in self.points]}

    def sentences(self) -> list[str]:
        """Say what twice the data would bring, and how the method did on the curve itself."""
        last = self.points[-1]
        says = [f"{self.queries:,} test queries, {self.units:,} independent units, the same for every share"]
        says.append(f"twice the data ({2 * last.queries:,} queries): {promise(self.doubling)}")
        if self.check and self.check.gain is not None:
            gained = last.model - self.points[-2].model
            held = (self.check.low or 0.0) <= gained <= (self.check.high or 0.0)
            interval = f"{_signed(self.check.low)} to {_signed(self.check.high)}"
            says.append(
                f"checked on itself: the shares before the last promised {interval} for it, and it brought "
                f"{_signed(gained)}, {'within' if held else 'outside'} that"
            )
        return says


def promise(doubling: Doubling) -> str:
    """Say what twice the data would bring."""
    if doubling.gain is None:
        return f"can't tell: {doubling.reason}"
    interval = f"{_signed(doubling.gain)}, 95% interval {_signed(doubling.low)} to {_signed(doubling.high)}"
    return f"can't tell whether it helps ({interval})" if doubling.verdict == "can't tell" else interval


def extrapolated(
    counts: Sequence[int], trainings: Sequence[Sequence[Mapping[str, float]]], units: Units
) -> tuple[Doubling, Doubling | None, int, int]:
    """Return what twice the data would bring, the check on the curve itself, and how many queries and units there are.

    `trainings` are, for each share, the scores by query of the model of each seed.
    """
    import numpy as np

    from embedrun_plugins.results.extrapolation import doubled

    queries = sorted(set.intersection(*(set(values) for seeds in trainings for values in seeds)))
    numbers: dict[int | str, int] = {}
    unit = np.array([numbers.setdefault(units.get(query, query), len(numbers)) for query in queries], np.int64)
    means = np.array([[np.mean([seed[query] for seed in seeds]) for query in queries] for seeds in trainings])
    sums = np.stack([np.bincount(unit, row) for row in means]).astype(np.float64)
    sizes = np.bincount(unit).astype(np.float64)
    amounts, spread = np.array(counts, np.float64), _seed_noise(trainings)
    check = None
    if len(counts) >= _FEWEST_CHECKED and abs(amounts[-1] / amounts[-2] - 2) < 0.5:  # noqa: PLR2004 - about twice
        check = doubled(amounts[:-1], sums[:-1], sizes, spread)
    return doubled(amounts, sums, sizes, spread), check, len(queries), len(sizes)


def _seed_noise(trainings: Sequence[Sequence[Mapping[str, float]]]) -> Any:
    """Return what another seed changes of a share's mean, pooled over the shares; None of one seed."""
    import numpy as np

    from embedrun_plugins.results.extrapolation import Noise

    means: list[NDArray[np.float64]] = [
        np.array([np.mean(list(values.values())) for values in seeds]) for seeds in trainings
    ]
    freedom = sum(len(part) - 1 for part in means)
    if not freedom:
        return None
    variance = sum(float(((part - part.mean()) ** 2).sum()) for part in means) / freedom
    return Noise(variance / min(len(part) for part in means), freedom)


def _signed(value: float | None) -> str:
    return f"{value or 0.0:+.4f}".replace("-", MINUS)
