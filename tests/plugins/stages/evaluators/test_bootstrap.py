"""Whether a difference is more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun import Scores
from embedrun_plugins.stages.evaluators.bootstrap import compare, paired


def values(numbers):
    return {f"q{place}": float(number) for place, number in enumerate(numbers)}


def drawn(seed, shift, size=200):
    random = np.random.default_rng(seed)
    base = random.uniform(0, 0.7, size)
    return values(base + random.normal(shift, 0.2, size)), values(base)


def scores(folder, metrics, per_query=None):
    return Scores.write(folder, metrics, per_query)


@pytest.mark.parametrize(("shift", "verdict"), [(0.1, "better"), (-0.1, "worse"), (0.0, "can't tell")])
def test_a_verdict_follows_from_the_interval(shift, verdict):
    found = paired(*drawn(1, shift), seed=42)
    assert found.verdict == verdict
    assert found.low < found.difference < found.high
    assert (found.low > 0, found.high < 0) == (verdict == "better", verdict == "worse")


def test_equal_models_cannot_be_told_apart():
    model, _ = drawn(1, 0.1)
    found = paired(model, model, seed=42)
    assert (found.difference, found.low, found.high, found.detectable) == (0, 0, 0, 0)
    assert (found.verdict, found.won, found.lost, found.tied) == ("can't tell", 0, 0, 200)


def test_a_seed_reproduces_the_interval_and_another_moves_it_little():
    model, base = drawn(2, 0.05)
    first, other = paired(model, base, seed=1), paired(model, base, seed=2)
    assert first == paired(dict(reversed(model.items())), base, seed=1)
    assert first != other
    assert first.low == pytest.approx(other.low, abs=0.003)


def test_intervals_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    model, base = drawn(3, 0.03)
    differences = np.array([model[query] - base[query] for query in base])
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", random_state=np.random.default_rng(0)
    ).confidence_interval
    found = paired(model, base, seed=0)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.002)


def test_intervals_cover_the_truth_about_95_times_in_100():
    covered = sum(found.low <= 0.05 <= found.high for found in (paired(*drawn(n, 0.05, 60), n) for n in range(100)))
    assert 88 <= covered <= 99


def test_the_smallest_detectable_gain_is_found_in_about_four_of_five_experiments():
    gain = paired(*drawn(0, 0, 10_000), seed=0).detectable * (10_000 / 80) ** 0.5
    found = [paired(*drawn(seed, gain, 80), seed=seed).verdict for seed in range(100)]
    assert 70 <= found.count("better") <= 92


def test_queries_won_lost_and_tied_are_counted():
    found = paired(values([1, 1, 0, 0.5]), values([0, 1, 1, 0.25]), seed=0)
    assert (found.won, found.lost, found.tied, found.queries) == (2, 1, 1, 4)


def test_a_handful_of_differing_queries_gives_no_verdict():
    base = values([0.5] * 100)
    assert paired(base | values([1] * 5), base, seed=0).verdict == "can't tell"
    assert paired(base | values([1] * 6), base, seed=0).verdict == "better"


def test_one_query_has_no_interval():
    found = paired(values([1]), values([0]), seed=0)
    assert (found.difference, found.low, found.high, found.detectable, found.verdict) == (
        1,
        None,
        None,
        None,
        "can't tell",
    )


def test_only_queries_that_both_models_answered_are_compared():
    assert paired(values([1, 0]), values([0, 0, 1]), seed=0).queries == 2
    with pytest.raises(ValueError, match="different queries"):
        paired({"a": 1.0}, {"b": 1.0}, seed=0)


def test_every_metric_of_every_other_role_is_a_row(tmp_path):
    def model(shift):
        tuned, base = drawn(4, shift)
        ndcg, mrr = (tuned, {query: 2 * value for query, value in tuned.items()}) if shift else (base, base)
        return {"ndcg@10": ndcg, "mrr@10": mrr}

    given = {
        role: scores(tmp_path / role, {name: float(np.mean(list(v.values()))) for name, v in found.items()}, found)
        for role, found in (("base", model(0)), ("tuned", model(0.1)), ("merged", model(-0.1)))
    }
    rows = compare(given, seed=9)
    assert [(row["role"], row["metric"]) for row in rows] == [
        ("tuned", "ndcg@10"),
        ("tuned", "mrr@10"),
        ("merged", "ndcg@10"),
        ("merged", "mrr@10"),
    ]
    for row in rows:
        alone = paired(given[row["role"]].per_query[row["metric"]], given["base"].per_query[row["metric"]], seed=9)
        assert (row["low"], row["high"]) == pytest.approx((alone.low, alone.high), abs=1e-12)
        assert row["difference"] == pytest.approx(row["model"] - row["base"])
        assert (row["verdict"], row["queries"]) == (alone.verdict, 200)


def test_a_metric_without_values_by_query_has_a_difference_only(tmp_path):
    rows = compare(
        {
            "base": scores(tmp_path / "base", {"pair_1": 0.54, "only_base": 1.0}),
            "tuned": scores(tmp_path / "tuned", {"pair_1": 0.87}),
        },
        seed=0,
    )
    assert [row["metric"] for row in rows] == ["pair_1"]
    assert rows[0]["difference"] == pytest.approx(0.33)
    assert (rows[0]["low"], rows[0]["verdict"], rows[0]["won"]) == (None, None, None)


def test_metrics_scored_on_different_numbers_of_queries_are_each_resampled(tmp_path):
    short, long = drawn(5, 0.1, 50), drawn(6, 0.1, 90)
    base, tuned = (
        scores(
            tmp_path / str(side), {"a": 0.0, "b": 0.0, "c": 0.0}, {"a": short[side], "b": long[side], "c": short[side]}
        )
        for side in (1, 0)
    )
    rows = {row["metric"]: row for row in compare({"base": base, "tuned": tuned}, seed=3)}
    assert [rows[name]["queries"] for name in "abc"] == [50, 90, 50]
    assert rows["a"]["low"] == rows["c"]["low"] == pytest.approx(paired(*short, seed=3).low)


def test_the_last_model_is_compared_with_each_rival(tmp_path):
    def model(role, shift):
        found = drawn(7, shift)[0]
        return scores(tmp_path / role, {"ndcg@10": float(np.mean(list(found.values())))}, {"ndcg@10": found})

    given = {role: model(role, shift) for role, shift in {"base": 0, "tuned": 0.1, "merged": 0.2, "titan": 0.1}.items()}
    given["other"] = scores(tmp_path / "other", {"mrr@10": 0.5})
    rows = compare(given, seed=9)
    assert [(row["role"], row["against"]) for row in rows] == [
        ("tuned", "base"),
        ("merged", "base"),
        ("merged", "titan"),
    ]
    against_titan = paired(given["merged"].per_query["ndcg@10"], given["titan"].per_query["ndcg@10"], seed=9)
    assert (rows[2]["low"], rows[2]["verdict"]) == (pytest.approx(against_titan.low), "better")
    assert rows[2]["base"] == given["titan"].metrics["ndcg@10"]
    alone = compare({role: given[role] for role in ("base", "titan")}, seed=9)
    assert [(row["role"], row["against"], row["verdict"]) for row in alone] == [("base", "titan", "worse")]
