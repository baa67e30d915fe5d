"""How sure a mean is, where values come in groups that rise and fall together.

Groups are the independent units: questions about one passage, say. The interval is a cluster-robust t interval, with
the bias-reduced variance and the degrees of freedom of Bell and McCaffrey (Survey Methodology, 2002), corrected for the
skewness of the units by Hall's transformation (Journal of the Royal Statistical Society B, 1992) and for heavy tails by
their kurtosis. `benchmarks/coverage.py` is the measurement by which it was chosen, against bootstraps of three kinds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtr, stdtrit

Floats = NDArray[np.float64]

FEWEST_DIFFERING = 6
"""Units that differ from 0 below which there is no verdict: a sign test of 5 cannot reach p < 0.05 either."""
FEWEST_CARRYING = 4.0
"""How many equal units must carry the differences where most units are tied, below which there is none either."""
_TAIL = 0.975
_POWER = 0.8
_ENDLESS = 1e6
"""A t value where units do not differ from each other."""
_WORKING_CORRELATION = 0.3
"""Correlation within units that the degrees of freedom assume; it matters only where units are of unequal size."""
_SKEWNESS_SHARE = 0.5
"""Share of the units' skewness that is corrected for. All of it widens nothing and shifts too far where both tails are
heavy, none of it misses too often on one side; measured."""


@dataclass(frozen=True)
class MeanIntervals:
    """Means of several columns of values over the same units, each array (columns,)."""

    mean: Floats
    error: Floats
    """Standard error."""
    low: Floats
    """Lower end of the 95% interval."""
    high: Floats
    p: Floats
    """Chance of a mean so far from 0, were it truly 0; 1 where too few units differ."""
    differing: NDArray[np.int64]
    """Units that differ from 0."""
    few: NDArray[np.bool_]
    """Whether too few units differ, or carry most of the differences, for any verdict."""
    detectable: Floats
    """Smallest mean that so many units of this spread would show in four of five experiments."""


@dataclass(frozen=True)
class Spread:
    """Another source of variance of the means, beside the units: the seeds of trainings, say."""

    variance: Floats
    """(columns,): of the mean."""
    freedom: Floats
    """(columns,): degrees of freedom that it is estimated with."""


def mean_intervals(sums: Floats, sizes: Floats, spread: Spread | None = None) -> MeanIntervals:
    """Return the mean of all values and its 95% interval, column by column.

    `sums` (columns, units) are the units' sums of values between -1 and 1, `sizes` (units,) or (columns, units) how
    many values each unit has. There must be two units. Where too few units differ from 0, their spread tells nothing,
    and the interval reaches to the share of units that may differ at all (Clopper and Pearson, Biometrika, 1934).
    A further `spread` is added to the units' variance, with degrees of freedom after Satterthwaite (Biometrics, 1946).
    """
    sizes = np.broadcast_to(sizes, sums.shape)
    total = sizes.sum(axis=1)
    mean = sums.sum(axis=1) / total
    residuals = (sums - sizes * mean[:, None]) / np.sqrt(1 - sizes / total[:, None])
    variance, freedom, skew = _moments(residuals)
    freedom = np.minimum(freedom, _freedom(sizes))
    error = np.sqrt(variance) / total
    bend = _SKEWNESS_SHARE * skew / np.sqrt(sums.shape[1])
    if spread:
        error, freedom, bend = _with_spread(error, freedom, bend, spread)
    reach = stdtrit(freedom, _TAIL)
    low, high = mean - error * _unbent(reach, bend), mean - error * _unbent(-reach, bend)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.nan_to_num(mean / error).clip(-_ENDLESS, _ENDLESS)
    p = 2 * stdtr(freedom, -np.abs(_bent(t, bend)))
    differing = np.count_nonzero(sums, axis=1)
    few = _few(sums, differing)
    low = np.where(few, np.minimum(low, -_most(sums < 0, sizes)), low)
    high = np.where(few, np.maximum(high, _most(sums > 0, sizes)), high)
    detectable = (reach + stdtrit(freedom, _POWER)) * error
    return MeanIntervals(mean, error, low, high, np.where(few, 1.0, p), differing, few, detectable)


def _with_spread(error: Floats, freedom: Floats, bend: Floats, spread: Spread) -> tuple[Floats, Floats, Floats]:
    variance = error**2 + spread.variance
    with np.errstate(divide="ignore", invalid="ignore"):
        joint = np.nan_to_num(variance**2 / (error**4 / freedom + spread.variance**2 / spread.freedom), nan=1.0)
        bend = bend * np.nan_to_num(error / np.sqrt(variance)) ** 3
    return np.sqrt(variance), joint, bend


def share_interval(successes: Floats, sizes: Floats) -> tuple[float, float]:
    """Return the 95% interval of a share, from the successes and sizes (units,) of its units.

    Wilson's interval (Journal of the American Statistical Association, 1927) of as many independent trials as the units
    are worth: all of them over the design effect, the ratio of the variance between units to that of independent
    trials; where nothing varies, a unit is taken for one trial.
    """
    trials, units = float(sizes.sum()), len(sizes)
    share = float(successes.sum()) / trials
    effect = float((sizes**2).sum()) / trials
    if 0 < share < 1 and units > 1:
        between = float(((successes - sizes * share) ** 2).sum()) * units / (units - 1)
        effect = max(1.0, between / (share * (1 - share) * trials))
    worth, reach = trials / effect, float(stdtrit(max(units - 1, 1), _TAIL))
    square = reach**2 / worth
    centre = (share + square / 2) / (1 + square)
    half = reach / (1 + square) * np.sqrt(share * (1 - share) / worth + square / (4 * worth))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def _few(sums: Floats, differing: NDArray[np.int64]) -> NDArray[np.bool_]:
    with np.errstate(divide="ignore", invalid="ignore"):
        carrying = np.nan_to_num((sums**2).sum(axis=1) ** 2 / (sums**4).sum(axis=1))
    tied = 2 * differing < sums.shape[1]
    return np.asarray((differing < FEWEST_DIFFERING) | (tied & (carrying < FEWEST_CARRYING)))


def _moments(residuals: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the variance of a sum of residuals, its degrees of freedom, and the residuals' skewness.

    The fewer units carry the spread, the less the variance is known: its own variance follows from their kurtosis.
    """
    units = residuals.shape[1]
    squares = (residuals**2).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        excess = np.nan_to_num(units * (residuals**4).sum(axis=1) / squares**2 - 3).clip(min=0)
        skew = np.nan_to_num((residuals**3).mean(axis=1) / (squares / units) ** 1.5)
    skew *= np.sqrt(units * (units - 1)) / max(units - 2, 1)
    return squares * (1 + excess / units), 2 * units / (excess + 2), skew


def _freedom(sizes: Floats) -> Floats:
    """Return Bell and McCaffrey's degrees of freedom of the variance of a mean: units - 1 where they are equal."""
    total = sizes.sum(axis=1, keepdims=True)
    share = sizes / total
    weight = 1 / (1 - share)
    spread = sizes * (1 + (sizes - 1) * _WORKING_CORRELATION)
    all_spread = spread.sum(axis=1, keepdims=True)
    # Covariances of residuals are diag(spread) + cross, with cross[c, d] = share_c share_d all - share_d spread_c - ….
    cross = share * share * all_spread - 2 * share * spread
    variances = spread + cross
    shares, spreads, mixed = ((weight * part).sum(axis=1) for part in (share**2, spread**2, share * spread))
    spread_sum = all_spread[:, 0]
    squared = 2 * shares * spreads + 2 * mixed**2 + (spread_sum * shares) ** 2 - 4 * spread_sum * mixed * shares
    squared += (weight**2 * (variances**2 - cross**2)).sum(axis=1)
    return np.asarray((weight * variances).sum(axis=1) ** 2 / squared)


def _bent(t: Floats, bend: Floats) -> Floats:
    """Return Hall's transformation of a t value."""
    return np.asarray(t + bend * t**2 / 3 + bend**2 * t**3 / 27 + bend / 6)


def _unbent(t: Floats, bend: Floats) -> Floats:
    safe = np.where(np.abs(bend) < 1e-9, 1.0, bend)  # noqa: PLR2004 - no bend
    return np.where(np.abs(bend) < 1e-9, t, 3 / safe * (np.cbrt(1 + safe * (t - safe / 6)) - 1))  # noqa: PLR2004


def _most(differing: NDArray[np.bool_], sizes: Floats) -> Floats:
    """Return the most that the units of one sign can add to the mean, each by 1 a value."""
    units, count = differing.shape[1], np.count_nonzero(differing, axis=1)
    share = np.where(count < units, betaincinv(count + 1, np.maximum(units - count, 1), _TAIL), 1.0)
    uneven = np.sqrt((sizes**2).mean(axis=1)) / sizes.mean(axis=1)
    return np.asarray(np.minimum(1.0, share * uneven))
