"""The intervals that `coverage.py` measures beside the one in use: what was used before, and what could have been."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtrit
from synthetic_differences import Drawn, Floats

from embedrun_plugins.results.intervals import FEWEST_DIFFERING, mean_intervals

RESAMPLES = 999

Ends = tuple[Floats, Floats, NDArray[np.bool_]]
"""Lower and upper ends, and whether a verdict may be given."""


def now(drawn: Drawn) -> Ends:
    found = mean_intervals(drawn.sums, drawn.sizes)
    return found.low, found.high, found.p <= 0.05


@cache
def _counts(length: int) -> NDArray[np.float32]:
    """Return (resamples, length): how often each was drawn, as Poisson counts, which sets of unequal size can share."""
    return np.random.default_rng(3).poisson(1.0, (RESAMPLES, length)).astype(np.float32)


def before(drawn: Drawn) -> Ends:
    """Percentile bootstrap over queries."""
    flat = drawn.values.reshape(len(drawn.values), -1).astype(np.float32)
    counts = _counts(flat.shape[1])
    present = drawn.present.reshape(flat.shape)
    sizes = counts @ present.astype(np.float32).T if present.any() and not present.all() else counts.sum(1)[:, None]
    low, high = np.quantile(counts @ flat.T / np.maximum(sizes, 1), (0.025, 0.975), axis=0)
    return low, high, np.count_nonzero(flat, axis=1) >= FEWEST_DIFFERING


def t_interval(drawn: Drawn) -> Ends:
    """Cluster-robust t interval with the usual correction (CR1)."""
    mean, error = _mean_and_error(drawn.sums, drawn.sizes)
    reach = stdtrit(drawn.sums.shape[1] - 1, 0.975) * error
    return mean - reach, mean + reach, _several(drawn)


def bootstraps(drawn: Drawn) -> dict[str, Ends]:
    """Percentile, BCa and studentised bootstrap over units."""
    sums, sizes = drawn.sums, drawn.sizes
    counts = np.random.default_rng(3).multinomial(sums.shape[1], np.full(sums.shape[1], 1 / sums.shape[1]), RESAMPLES)
    total, size, square, mixed, size_square = (
        part @ counts.T.astype(np.float64) for part in (sums, sizes, sums**2, sums * sizes, sizes**2)
    )
    means = total / size
    mean, error = _mean_and_error(sums, sizes)
    spread = np.sqrt(np.maximum(square - 2 * means * mixed + means**2 * size_square, 0)) / size
    spread *= (sums.shape[1] / (sums.shape[1] - 1)) ** 0.5
    with np.errstate(divide="ignore", invalid="ignore"):
        students = np.nan_to_num((means - mean[:, None]) / spread)
    low, high = np.quantile(students, (0.025, 0.975), axis=1)
    several = _several(drawn)
    return {
        "percentile over units": (*np.quantile(means, (0.025, 0.975), axis=1), several),
        "BCa over units": (*_bca(means, mean, sums, sizes), several),
        "studentised over units": (mean - high * error, mean - low * error, several),
    }


def _bca(means: Floats, mean: Floats, sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """Return bias-corrected and accelerated ends: Efron, Better bootstrap confidence intervals (1987)."""
    below = ((means < mean[:, None]).mean(1) + (means <= mean[:, None]).mean(1)) / 2
    bias = ndtri(below.clip(1 / RESAMPLES, 1 - 1 / RESAMPLES))
    left_out = (sums.sum(1, keepdims=True) - sums) / (sizes.sum(1, keepdims=True) - sizes)
    away = left_out.mean(1, keepdims=True) - left_out
    with np.errstate(divide="ignore", invalid="ignore"):
        acceleration = np.nan_to_num((away**3).sum(1) / (6 * (away**2).sum(1) ** 1.5))
    ordered = np.sort(means, axis=1)
    ends = []
    for tail in (ndtri(0.025), ndtri(0.975)):
        level = ndtr(bias + (bias + tail) / (1 - acceleration * (bias + tail)))
        place = np.round(level * (RESAMPLES + 1) - 1).astype(int).clip(0, RESAMPLES - 1)
        ends.append(ordered[np.arange(len(ordered)), place])
    return ends[0], ends[1]


def _mean_and_error(sums: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    total = sizes.sum(axis=1)
    mean = sums.sum(axis=1) / total
    squares = ((sums - sizes * mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(sums.shape[1] / (sums.shape[1] - 1) * squares) / total


def _several(drawn: Drawn) -> NDArray[np.bool_]:
    return np.asarray(np.count_nonzero(drawn.sums, axis=1) >= FEWEST_DIFFERING)


def wilson(successes: Floats, trials: float) -> tuple[Floats, Floats]:
    """Return Wilson's interval of a share of independent trials."""
    share, square = successes / trials, ndtri(0.975) ** 2 / trials
    centre = (share + square / 2) / (1 + square)
    half = np.sqrt(square * (share * (1 - share) + square / 4)) / (1 + square)
    return centre - half, centre + half
