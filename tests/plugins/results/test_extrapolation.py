"""What twice the data would bring: found where it shows, and left open where it does not."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun_plugins.results.extrapolation import Noise, doubled

COUNTS = np.array([100.0, 200.0, 400.0, 800.0])


def curve(means, units=300, noise=0.05, seed=0):
    """Return sums and sizes of single-query units around means."""
    random = np.random.default_rng(seed)
    levels = random.uniform(-0.3, 0.3, units)
    return np.array(means)[:, None] + levels + noise * random.standard_normal((len(means), units)), np.ones(units)


def test_a_straight_line_goes_on_straight():
    told = doubled(COUNTS, *curve([0.50, 0.55, 0.60, 0.65]))
    assert told.verdict == "more helps"
    assert told.low <= 0.05 <= told.high
    assert told.gain == pytest.approx(0.05, abs=0.01)


def test_a_curve_that_has_gone_flat_is_not_drawn_on():
    told = doubled(COUNTS, *curve([0.50, 0.60, 0.65, 0.65]))
    assert told.verdict == "can't tell"
    assert told.low <= 0.0 <= told.high


def test_more_data_may_hurt():
    assert doubled(COUNTS, *curve([0.65, 0.60, 0.55, 0.50])).verdict == "more hurts"


def test_seeds_that_differ_widely_leave_it_open():
    means = [0.50, 0.52, 0.54, 0.56]
    assert doubled(COUNTS, *curve(means), Noise(1e-8, 8)).verdict == "more helps"
    assert doubled(COUNTS, *curve(means), Noise(4e-3, 8)).verdict == "can't tell"


def test_few_shares_and_few_units_tell_nothing():
    assert doubled(COUNTS[:2], *curve([0.5, 0.6])).reason == "2 shares tell no curve: 3 are needed"
    few = doubled(COUNTS, *curve([0.50, 0.55, 0.60, 0.65], units=9))
    assert (few.gain, few.verdict) == (None, "can't tell")
    assert few.reason == "9 independent units of test queries are too few: 10 are needed"


def test_it_says_the_same_every_time():
    assert doubled(COUNTS, *curve([0.5, 0.55, 0.6, 0.65])) == doubled(COUNTS, *curve([0.5, 0.55, 0.6, 0.65]))
