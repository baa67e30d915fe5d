"""Whether a difference is more than chance."""

from __future__ import annotations

import numpy as np
import pytest

from embedrun import Scores
from embedrun_plugins.stages.evaluators.paired_differences import compare, paired, paired_over_seeds
from embedrun_plugins.stages.evaluators.query_units import QueryUnits


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
    found = paired(*drawn(1, shift))
    assert found.verdict == verdict
    assert found.low < found.difference < found.high
    assert (found.low > 0, found.high < 0) == (verdict == "better", verdict == "worse")


def test_equal_models_cannot_be_told_apart():
    model, _ = drawn(1, 0.1)
    found = paired(model, model)
    assert (found.difference, found.detectable) == (0, 0)
    # Of 200 units that all agree, a share of 1.8% may yet differ: 1 - 0.025 ** (1 / 200).
    assert (found.low, found.high) == pytest.approx((-0.0183, 0.0183), abs=1e-4)
    assert (found.verdict, found.won, found.lost, found.tied) == ("can't tell", 0, 0, 200)


def test_an_interval_depends_on_nothing_but_the_values():
    model, base = drawn(2, 0.05)
    assert paired(model, base) == paired(dict(reversed(model.items())), base)


def in_units(sizes):
    """Number queries so that units have the given sizes."""
    return [unit for unit, size in enumerate(sizes) for _ in range(size)]


def test_queries_of_one_unit_count_as_one():
    random = np.random.default_rng(5)
    by_unit = random.normal(0.05, 0.2, 50).repeat(4)
    model, base = values(0.5 + by_unit), values([0.5] * 200)
    units = QueryUnits("document", {f"q{n}": unit for n, unit in enumerate(in_units([4] * 50))})
    together, apart = paired(model, base, units), paired(model, base)
    alone = paired(values(0.5 + by_unit[::4]), values([0.5] * 50))
    assert (together.units, together.queries, apart.units) == (50, 200, 200)
    assert (together.low, together.high) == pytest.approx((alone.low, alone.high))
    assert together.high - together.low > 1.9 * (apart.high - apart.low)
    assert together.detectable > 1.9 * apart.detectable


def test_a_few_large_units_give_no_verdict_where_most_are_tied():
    base = values([0.0] * 300)
    model = base | values([1.0] * 70)
    units = QueryUnits("document", {f"q{n}": unit for n, unit in enumerate(in_units([40, 26, 1, 1, 1, 1, *[10] * 23]))})
    found = paired(model, base, units)
    assert (found.verdict, found.few, found.units_differing, found.units) == ("can't tell", True, 6, 29)
    assert found.low < 0 < found.high
    assert paired(model, base).verdict == "better"


def test_units_that_all_differ_alike_are_certain():
    found = paired(values([0.75] * 20), values([0.5] * 20))
    assert (found.low, found.difference, found.high, found.verdict) == (0.25, 0.25, 0.25, "better")


def test_intervals_agree_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    model, base = drawn(3, 0.03)
    differences = np.array([model[query] - base[query] for query in base])
    theirs = stats.bootstrap(
        (differences,), np.mean, n_resamples=10_000, method="percentile", random_state=np.random.default_rng(0)
    ).confidence_interval
    found = paired(model, base)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), abs=0.002)


def test_intervals_cover_the_truth_about_95_times_in_100():
    covered = sum(found.low <= 0.05 <= found.high for found in (paired(*drawn(n, 0.05, 60)) for n in range(100)))
    assert 88 <= covered <= 99


def test_the_smallest_detectable_gain_is_found_in_about_four_of_five_experiments():
    gain = paired(*drawn(0, 0, 10_000)).detectable * (10_000 / 80) ** 0.5
    found = [paired(*drawn(seed, gain, 80)).verdict for seed in range(100)]
    assert 70 <= found.count("better") <= 92


def test_queries_won_lost_and_tied_are_counted():
    found = paired(values([1, 1, 0, 0.5]), values([0, 1, 1, 0.25]))
    assert (found.won, found.lost, found.tied, found.queries) == (2, 1, 1, 4)


def test_a_handful_of_differing_queries_gives_no_verdict():
    base = values([0.5] * 100)
    assert paired(base | values([1] * 5), base).verdict == "can't tell"
    assert paired(base | values([1] * 6), base).verdict == "better"


def test_one_query_has_no_interval():
    found = paired(values([1]), values([0]))
    assert (found.difference, found.low, found.high, found.detectable, found.verdict) == (
        1,
        None,
        None,
        None,
        "can't tell",
    )


def test_only_queries_that_both_models_answered_are_compared():
    assert paired(values([1, 0]), values([0, 0, 1])).queries == 2
    with pytest.raises(ValueError, match="different queries"):
        paired({"a": 1.0}, {"b": 1.0})


def test_every_metric_of_every_other_role_is_a_row(tmp_path):
    def model(shift):
        tuned, base = drawn(4, shift)
        ndcg, mrr = (tuned, {query: 2 * value for query, value in tuned.items()}) if shift else (base, base)
        return {"ndcg@10": ndcg, "mrr@10": mrr}

    given = {
        role: scores(tmp_path / role, {name: float(np.mean(list(v.values()))) for name, v in found.items()}, found)
        for role, found in (("base", model(0)), ("tuned", model(0.1)), ("merged", model(-0.1)))
    }
    rows = compare(given)
    assert [(row["role"], row["metric"]) for row in rows] == [
        ("tuned", "ndcg@10"),
        ("tuned", "mrr@10"),
        ("merged", "ndcg@10"),
        ("merged", "mrr@10"),
    ]
    for row in rows:
        alone = paired(given[row["role"]].per_query[row["metric"]], given["base"].per_query[row["metric"]])
        assert (row["low"], row["high"]) == pytest.approx((alone.low, alone.high), abs=1e-12)
        assert row["difference"] == pytest.approx(row["model"] - row["base"])
        assert (row["verdict"], row["queries"]) == (alone.verdict, 200)


def test_a_metric_without_values_by_query_has_a_difference_only(tmp_path):
    rows = compare(
        {
            "base": scores(tmp_path / "base", {"pair_1": 0.54, "only_base": 1.0}),
            "tuned": scores(tmp_path / "tuned", {"pair_1": 0.87}),
        }
    )
    assert [row["metric"] for row in rows] == ["pair_1"]
    assert rows[0]["difference"] == pytest.approx(0.33)
    assert (rows[0]["low"], rows[0]["verdict"], rows[0]["won"]) == (None, None, None)


def test_verdicts_beside_the_headline_are_corrected_for_their_number(tmp_path):
    tuned, base = drawn(8, 0.038)
    alone = paired(tuned, base)
    assert 0.005 < alone.p < 0.05, "a gain that shows by itself, and not among ten"
    names = [f"metric_{n}" for n in range(10)]
    folders = {
        role: scores(tmp_path / role, dict.fromkeys(names, 0.0), dict.fromkeys(names, part))
        for role, part in (("base", base), ("tuned", tuned))
    }
    rows = {row["metric"]: row for row in compare(folders, "metric_3")}
    assert {name for name, row in rows.items() if row["verdict"] == "better"} == {"metric_3"}
    assert {row["verdict_alone"] for row in rows.values()} == {"better"}
    assert rows["metric_0"]["p_adjusted"] == pytest.approx(9 * alone.p)
    assert rows["metric_3"]["p_adjusted"] is None
    assert next(row for row in compare(folders) if row["p_adjusted"] is None)["metric"] == "metric_0"


def test_units_that_scores_were_made_with_are_used(tmp_path):
    tuned, base = drawn(8, 0.1)
    folders = {
        role: scores(tmp_path / role, {"a": 0.0}, {"a": part}) for role, part in (("base", base), ("tuned", tuned))
    }
    assert compare(folders)[0]["units"] == 200
    QueryUnits("source", {query: int(query[1:]) // 5 for query in base}).write(folders["base"].path)
    (row,) = compare(folders)
    assert (row["units"], row["units_by"], row["queries"]) == (40, "source", 200)


def test_metrics_scored_on_different_numbers_of_queries_are_each_resampled(tmp_path):
    short, long = drawn(5, 0.1, 50), drawn(6, 0.1, 90)
    base, tuned = (
        scores(
            tmp_path / str(side), {"a": 0.0, "b": 0.0, "c": 0.0}, {"a": short[side], "b": long[side], "c": short[side]}
        )
        for side in (1, 0)
    )
    rows = {row["metric"]: row for row in compare({"base": base, "tuned": tuned})}
    assert [rows[name]["queries"] for name in "abc"] == [50, 90, 50]
    assert rows["a"]["low"] == rows["c"]["low"] == pytest.approx(paired(*short).low)


def test_the_last_model_is_compared_with_each_rival(tmp_path):
    def model(role, shift):
        found = drawn(7, shift)[0]
        return scores(tmp_path / role, {"ndcg@10": float(np.mean(list(found.values())))}, {"ndcg@10": found})

    given = {role: model(role, shift) for role, shift in {"base": 0, "tuned": 0.1, "merged": 0.2, "titan": 0.1}.items()}
    given["other"] = scores(tmp_path / "other", {"mrr@10": 0.5})
    rows = compare(given)
    assert [(row["role"], row["against"]) for row in rows] == [
        ("tuned", "base"),
        ("merged", "base"),
        ("merged", "titan"),
    ]
    against_titan = paired(given["merged"].per_query["ndcg@10"], given["titan"].per_query["ndcg@10"])
    assert (rows[2]["low"], rows[2]["verdict"]) == (pytest.approx(against_titan.low), "better")
    assert rows[2]["base"] == given["titan"].metrics["ndcg@10"]
    alone = compare({role: given[role] for role in ("base", "titan")})
    assert [(row["role"], row["against"], row["verdict"]) for row in alone] == [("base", "titan", "worse")]


def over_seeds(random, trainings, spread, gain=0.0, queries=150):
    """Draw what recipes of equal worth, but for the gain, score over their trainings."""
    base = random.uniform(0.2, 0.8, queries)
    shifts = random.normal(gain, spread, trainings)
    return [values(base + shift + random.normal(0, 0.1, queries)) for shift in shifts], values(base)


def test_the_spread_over_seeds_makes_an_interval_wider_than_the_queries_alone():
    random = np.random.default_rng(3)
    (model,), base = over_seeds(random, 1, 0.0)
    models = [{query: value + shift for query, value in model.items()} for shift in (-0.03, 0.0, 0.03)]
    alone, over = paired(models[0], base), paired_over_seeds(models, [base])
    assert over.high - over.low > 2 * (alone.high - alone.low)
    assert over.difference == pytest.approx(np.mean([paired(part, base).difference for part in models]))
    assert paired_over_seeds(models[:1], [base]) == alone


@pytest.mark.parametrize("spread", [0.0, 0.01, 0.05])
def test_recipes_that_are_equally_good_on_average_are_rarely_called_better(spread):
    random = np.random.default_rng(4)
    verdicts = []
    for _ in range(150):
        models, base = over_seeds(random, 3, spread)
        verdicts.append(paired_over_seeds(models, [base]).verdict)
    assert verdicts.count("better") <= 8
    assert verdicts.count("worse") <= 8
    assert verdicts.count("can't tell") >= 136


def test_rows_are_about_the_first_seed_and_say_what_all_did(tmp_path):
    models, base = over_seeds(np.random.default_rng(6), 3, 0.02, gain=0.1)
    names = ("tuned", "tuned.seed_8", "tuned.seed_13")
    folders = {"base": scores(tmp_path / "base", {"a": 0.0, "b": 0.0}, {"a": base, "b": base})}
    for name, model in zip(names, models, strict=True):
        folders[name] = scores(tmp_path / name, {"a": 0.0, "b": 0.0}, {"a": model, "b": model})
    rows = compare(folders)
    assert [(row["role"], row["against"], row["metric"]) for row in rows] == [
        ("tuned", "base", "a"),
        ("tuned", "base", "b"),
    ]
    first = paired(models[0], base)
    assert (rows[0]["low"], rows[0]["high"]) == pytest.approx((first.low, first.high))
    over = rows[0]["over_seeds"]
    assert over["trainings"] == [3, 1]
    assert over["model_spread"] == pytest.approx(np.std([np.mean(list(m.values())) for m in models], ddof=1))
    assert over["base_spread"] is None
    assert (over["p_adjusted"], rows[1]["over_seeds"]["p_adjusted"]) == (None, pytest.approx(over["p"]))
