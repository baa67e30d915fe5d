"""How sure a mean over independent units is."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun_plugins.results.intervals import _WORKING_CORRELATION, _freedom, mean_intervals, share_interval


def test_equal_units_of_a_symmetric_kind_get_the_t_interval():
    stats = pytest.importorskip("scipy.stats")
    half = np.random.default_rng(0).uniform(0, 0.3, 25)
    column = np.concatenate([half, -half]) + 0.02
    means = mean_intervals(column[None], np.ones(50))
    low, high = stats.ttest_1samp(column, 0).confidence_interval()
    assert (means.low[0], means.high[0]) == pytest.approx((low, high), abs=1e-9)
    assert means.p[0] == pytest.approx(stats.ttest_1samp(column, 0).pvalue)


def test_degrees_of_freedom_are_those_of_bell_and_mccaffrey():
    sizes = np.array([1.0, 2, 3, 20, 5, 1, 8])
    share = sizes / sizes.sum()
    centre = np.eye(7) - np.outer(share, np.ones(7))
    spread = np.diag(sizes * (1 + (sizes - 1) * _WORKING_CORRELATION))
    # Of unit sums: residual = sum - share of the total.
    product = np.diag(1 / (1 - share)) @ centre @ spread @ centre.T
    expected = np.trace(product) ** 2 / np.trace(product @ product)
    assert _freedom(sizes[None])[0] == pytest.approx(expected)
    assert _freedom(np.ones((1, 12)))[0] == pytest.approx(11)


def test_an_interval_excludes_zero_exactly_where_the_chance_is_below_five_per_cent():
    rng = np.random.default_rng(1)
    sums = rng.choice([-0.1, 0.0, 0.6], p=[0.3, 0.5, 0.2], size=(3000, 40)) * rng.integers(1, 4, (3000, 40))
    means = mean_intervals(sums, np.full(40, 3.0))
    assert ((means.low > 0) | (means.high < 0)).tolist() == (means.p <= 0.05).tolist()
    assert 0.2 < (means.p <= 0.05).mean() < 0.98


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_units_of_correlated_queries_are_covered_95_times_in_100(correlation):
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 21, (4000, 40))
    values = rng.normal(size=(4000, 40, 20)) * (1 - correlation) ** 0.5
    values += rng.normal(size=(4000, 40, 1)) * correlation**0.5
    values[np.arange(20) >= sizes[:, :, None]] = 0
    means = mean_intervals(values.sum(axis=2) / 10, sizes.astype(float))
    assert 0.94 <= ((means.low <= 0) & (means.high >= 0)).mean() <= 0.965


def test_a_share_of_independent_trials_has_wilson_s_interval():
    for successes, expected in ((0, (0.0, 0.037)), (10, (0.0552, 0.1744)), (100, (0.963, 1.0))):
        trials = np.zeros(100)
        trials[:successes] = 1
        # A little wider, since the spread is estimated.
        low, high = share_interval(trials, np.ones(100))
        assert (low, high) == pytest.approx(expected, abs=0.002)
        assert low <= expected[0]
        assert high >= min(1.0, expected[1])


def test_a_share_is_less_sure_where_trials_of_a_unit_agree():
    agreeing, mixed = np.array([5.0] * 4 + [0.0] * 16), np.array([1.0] * 20)
    low, high = share_interval(agreeing, np.full(20, 5.0))
    apart = share_interval(mixed, np.full(20, 5.0))
    alone = share_interval(np.array([1.0] * 4 + [0.0] * 16), np.ones(20))
    assert (low, high) == pytest.approx(alone, abs=0.01), "twenty units that agree within are twenty trials"
    assert high - low > 2 * (apart[1] - apart[0])
    assert share_interval(np.zeros(20), np.full(20, 5.0)) == pytest.approx(share_interval(np.zeros(20), np.ones(20)))
