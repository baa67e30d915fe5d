"""What twice the data would bring, from what a model scores on growing shares of it.

A power law score = a + b n^-c, with an exponent c from 0, where it is a straight line over the logarithm of n, to 2:
the family that fits learning curves best (Viering and Loog, The Shape of Learning Curves, IEEE TPAMI 2023; Hestness et
al., arXiv:1712.00409), and with few points an unsure one (Mahmood et al., How Much More Data Do I Need?, CVPR 2022). So
it is fitted to many draws of the curve, with what chance does to a point added. Every fifth draw goes on from the last
step alone, so that a curve that has just gone flat is not drawn on as it rose. `benchmarks/curve_extrapolation.py`
measures how often the interval holds the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEWEST_SHARES = 3
FEWEST_UNITS = 10
"""Independent units below which the bootstrap tells nothing."""
_DRAWS = 2_000
_PIECE = 200
"""Draws made at once: bounds memory."""
_EXPONENTS = np.linspace(0.0, 2.0, 21)
_FEWEST_BENT = 5
"""Points from which on their scatter is taken around a power law, whose bend is then known well enough."""
_ON_LAST_STEP = 5
"""Every so many draws go on from the last step alone."""


@dataclass(frozen=True)
class Doubling:
    """What a model would gain by twice the data."""

    gain: float | None
    """Median of the draws; None where nothing can be said."""
    low: float | None
    """Lower end of the 95% interval."""
    high: float | None
    verdict: str
    """more helps, more hurts or can't tell."""
    reason: str
    """Why nothing can be told, or empty."""


@dataclass(frozen=True)
class Noise:
    """How much a score changes from training to training."""

    variance: float
    freedom: float
    """Degrees of freedom that the variance is estimated with."""


def doubled(counts: Floats, sums: Floats, sizes: Floats, noise: Noise | None = None) -> Doubling:
    """Extrapolate a curve to twice its last count.

    `counts` (shares,) are queries trained on, rising; `sums` (shares, units) the sums of the scores of each independent
    unit of test queries, `sizes` (units,) how many queries each has. With `noise`, from several seeds, curves are drawn
    by other units (the bootstrap) and other trainings. Without, by how far the points are from the fit: of fewer than
    five from a straight line over the logarithm of the count, which errs on the wide side where the curve bends.
    """
    if len(counts) < FEWEST_SHARES:
        return _unknown(f"{len(counts)} shares tell no curve: {FEWEST_SHARES} are needed")
    if len(sizes) < FEWEST_UNITS:
        return _unknown(f"{len(sizes)} independent units of test queries are too few: {FEWEST_UNITS} are needed")
    random = np.random.default_rng(0)
    scores = sums.sum(axis=1) / sizes.sum()
    if noise:
        curves = np.concatenate([_resampled(random, sums, sizes) for _ in range(_DRAWS // _PIECE)])
    else:
        noise, curves = _scatter(counts, scores), np.tile(scores, (_DRAWS, 1))
    gains = _gains(counts, _with_noise(random, curves, noise))
    low, median, high = (float(value) for value in np.quantile(gains, (0.025, 0.5, 0.975)))
    verdict = "more helps" if low > 0 else "more hurts" if high < 0 else "can't tell"
    return Doubling(median, low, high, verdict, "" if verdict != "can't tell" else "the interval holds 0")


def _unknown(reason: str) -> Doubling:
    return Doubling(None, None, None, "can't tell", reason)


def _scatter(counts: Floats, scores: Floats) -> Noise:
    """Return the variance around the fit, with as many degrees of freedom as there are points beyond its parameters."""
    exponents = _EXPONENTS if len(counts) >= _FEWEST_BENT else _EXPONENTS[:1]
    freedom = len(counts) - (3 if len(exponents) > 1 else 2)
    residuals = [_fit(_place(counts / counts[-1], exponent), scores[None])[1][0] for exponent in exponents]
    return Noise(float(min(residuals)) / freedom, freedom)


def _fit(places: Floats, curves: Floats) -> tuple[Floats, Floats]:
    """Return slopes (draws,) of straight lines over places, and the sums of their squared errors."""
    inside = places - places.mean()
    centred = curves - curves.mean(axis=1, keepdims=True)
    slopes = centred @ inside / (inside @ inside)
    return slopes, ((centred - slopes[:, None] * inside) ** 2).sum(axis=1)


def _resampled(random: np.random.Generator, sums: Floats, sizes: Floats) -> Floats:
    """Return (draws, shares): the curve by other test units."""
    units = len(sizes)
    weights = random.multinomial(units, np.full(units, 1 / units), _PIECE).astype(np.float64)
    return np.asarray((weights @ sums.T) / (weights @ sizes)[:, None])


def _with_noise(random: np.random.Generator, curves: Floats, noise: Noise) -> Floats:
    """Add to curves (draws, shares) what chance does to each point, with a variance as unsure as it is."""
    spread = np.sqrt(noise.variance * noise.freedom / random.chisquare(noise.freedom, (len(curves), 1)))
    return np.asarray(curves + spread * random.standard_normal(curves.shape))


def _gains(counts: Floats, curves: Floats) -> Floats:
    """Return (draws,): what each curve gains from the last count to twice that.

    By its best-fitting power law, or for every fifth curve by its last step, shrunk as that power law shrinks.
    """
    best, shrinks = np.full(len(curves), np.inf), np.ones(len(curves))
    gains = np.zeros(len(curves))
    for exponent in _EXPONENTS:
        places = _place(np.append(counts, 2 * counts[-1]) / counts[-1], exponent)
        slopes, errors = _fit(places[:-1], curves)
        better, step = errors < best, places[-1] - places[-2]
        best = np.where(better, errors, best)
        gains = np.where(better, slopes * step, gains)
        shrinks = np.where(better, step / (places[-2] - places[-3]), shrinks)
    from_last_step = (curves[:, -1] - curves[:, -2]) * shrinks
    return np.where(np.arange(len(curves)) % _ON_LAST_STEP, gains, from_last_step)


def _place(counts: Floats, exponent: float) -> Floats:
    """Return where counts lie on the axis over which a power law is straight; the logarithm is its limit."""
    return np.log(counts) if exponent == 0 else np.asarray(-(counts**-exponent) / exponent)
