"""How far a judge agrees with people, beyond what chance alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedrun_plugins.results.intervals import share_interval


@dataclass(frozen=True)
class Agreement:
    """Agreement of two raters that say yes or no."""

    labels: int
    units: int
    """Independent units that the labels come from."""
    agreement: float
    """Share of the labels on which both say the same."""
    low: float
    """Lower end of its 95% interval."""
    high: float
    kappa: float | None
    """Cohen's kappa; None where both say the same of everything, so that chance explains it all."""
    kappa_low: float | None
    kappa_high: float | None
    both_yes: int
    only_people: int
    """Labels that people say yes to and the judge does not."""
    only_judge: int
    both_no: int


def agreement(people: Sequence[bool], judge: Sequence[bool], units: Sequence[int]) -> Agreement:
    """Return the agreement of two raters (labels,), whose labels come in independent units.

    Kappa (Cohen, Educational and Psychological Measurement, 1960) is the agreement beyond what two raters with the same
    shares of yes would have by chance. Its interval is, as Cohen's own, that of the agreement with chance taken as
    known; the agreement's is Wilson's, widened for labels of one unit that rise and fall together. There must be a
    label. `benchmarks/kappa.py` measures how often it holds the truth.
    """
    first, second = np.asarray(people, bool), np.asarray(judge, bool)
    same = (first == second).astype(np.float64)
    _, numbers = np.unique(np.asarray(units), return_inverse=True)
    successes = np.bincount(numbers, same).astype(np.float64)
    low, high = share_interval(successes, np.bincount(numbers).astype(np.float64))
    chance = float(first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean()))
    kappa, kappa_low, kappa_high = (
        None if chance == 1 else (share - chance) / (1 - chance) for share in (float(same.mean()), low, high)
    )
    return Agreement(
        labels=len(same),
        units=len(successes),
        agreement=float(same.mean()),
        low=low,
        high=high,
        kappa=kappa,
        kappa_low=kappa_low,
        kappa_high=kappa_high,
        both_yes=int((first & second).sum()),
        only_people=int((first & ~second).sum()),
        only_judge=int((~first & second).sum()),
        both_no=int((~first & ~second).sum()),
    )
