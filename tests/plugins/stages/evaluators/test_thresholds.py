"""Limits that fail a run."""

from __future__ import annotations

import random
import re

import pytest
from pydantic import ValidationError

from embedrun import Scores
from embedrun.artifacts import Comparison
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.evaluators.paired_differences import compare


def scored(folder, **metrics):
    """Write scores of sixty queries around the given means."""
    per_query = {}
    for name, mean in metrics.items():
        chance = random.Random(name)
        per_query[name] = {f"q{n}": mean + chance.uniform(-0.1, 0.1) for n in range(60)}
    return Scores.write(folder, {name: sum(values.values()) / 60 for name, values in per_query.items()}, per_query)


@pytest.fixture
def scores(tmp_path):
    return {
        "base": scored(tmp_path / "base", **{"ndcg@10": 0.6, "dim_128_ndcg@10": 0.5, "mrr@10": 0.5}),
        "tuned": scored(tmp_path / "tuned", **{"ndcg@10": 0.8, "dim_128_ndcg@10": 0.6, "mrr@10": 0.4}),
    }


def unmet(scores, *limits, comparison=None):
    return list(InformationRetrieval(dimensions=(128,), require=limits).unmet(scores, comparison))


def test_limits_that_hold_say_nothing(scores):
    assert not unmet(
        scores,
        {"metric": "ndcg@10", "min": 0.7, "better_than": "base"},
        {"metric": "dim_128_ndcg@10", "not_worse_than": "base/ndcg@10"},
        {"metric": "mrr@10", "max": 0.5},
    )


def test_every_limit_that_does_not_hold_is_named_with_its_figures(scores):
    value, floor, other, worse = unmet(
        scores,
        {"metric": "ndcg@10", "min": 0.9},
        {"metric": "dim_128_ndcg@10", "better_than": "base/ndcg@10"},
        {"metric": "mrr@10", "not_worse_than": "base"},
        {"metric": "mrr@10", "better_than": "base"},
    )
    assert re.fullmatch(r"ndcg@10 of tuned is 0\.[78]\d+, below the least allowed, 0.9", value)
    assert re.fullmatch(
        r"dim_128_ndcg@10 of tuned must be better than ndcg@10 of base, but may not be: [+-]0\.0\d+, "
        r"95% interval -0\.0\d+ to \+0\.0\d+ over 60 queries \(\d+ won, \d+ lost\)",
        floor,
    )
    assert other.startswith("mrr@10 of tuned must be not worse than mrr@10 of base, but is worse: -0.1")
    assert worse.startswith("mrr@10 of tuned must be better than mrr@10 of base, but is worse: -0.1")


def test_the_run_s_own_comparison_is_what_counts(scores, tmp_path):
    rows = compare(scores)
    told = [row | {"verdict_alone": "can't tell"} for row in rows]
    comparison = Comparison.write(tmp_path / "comparison", told)
    assert unmet(scores, {"metric": "ndcg@10", "better_than": "base"}, comparison=comparison)
    comparison = Comparison.write(tmp_path / "comparison", rows)
    assert not unmet(scores, {"metric": "ndcg@10", "better_than": "base"}, comparison=comparison)


def test_a_run_of_one_model_has_nothing_to_be_better_than(scores):
    del scores["tuned"]
    assert unmet(scores, {"metric": "ndcg@10", "better_than": "base"}) == [
        "ndcg@10 of base must be better than ndcg@10 of base, but the run has no other model to compare with"
    ]
    assert not unmet(scores, {"metric": "ndcg@10", "better_than": "base/dim_128_ndcg@10"})


def test_unknown_metrics_are_faults_before_anything_runs():
    limits = [{"metric": "ndgc@10", "min": 0.5}, {"metric": "mrr@10", "better_than": "base/dim_64_mrr@10"}]
    assert list(InformationRetrieval(dimensions=(128,), require=limits).faults()) == [
        "require: no metric 'ndgc@10' is measured; did you mean 'ndcg@10'?",
        "require: no metric 'dim_64_mrr@10' is measured; did you mean 'dim_128_mrr@10'?",
    ]


def test_a_limit_without_a_bound_is_refused():
    with pytest.raises(ValidationError, match="sets no limit: give it min, max, better_than or not_worse_than"):
        InformationRetrieval(require=[{"metric": "ndcg@10"}])


RECIPE = """
model: ./model
source: {type: pairs, path: pairs.jsonl, split: test}
evaluator: {type: hit_rate, require: [{metric: hit_rate@5, better_than: titann}]}
compare_with: {type: sentence_transformers, model: ./model, name: titan}
"""


def test_a_model_that_the_recipe_does_not_have_is_refused_before_anything_runs(project):
    project.write("pairs.jsonl", '{"query": "who?", "positive": "me"}\n')
    project.write("model/config.json", "{}")
    project.write("demo.yaml", RECIPE)
    refused = project.run("check", "demo.yaml")
    assert refused.code == 2
    assert "evaluator.0.require: no model 'titann' is scored; did you mean 'titan'?" in refused.err
    project.write("demo.yaml", RECIPE.replace("titann", "titan"))
    assert "titan" not in project.run("check", "demo.yaml").err


def test_a_rival_is_compared_with_the_last_model(scores, tmp_path):
    scores["titan"] = scored(tmp_path / "titan", **{"ndcg@10": 0.7, "mrr@10": 0.9})
    comparison = Comparison.write(tmp_path / "comparison", compare(scores))
    assert not unmet(scores, {"metric": "ndcg@10", "better_than": "titan"}, comparison=comparison)
    (worse,) = unmet(scores, {"metric": "mrr@10", "not_worse_than": "titan"}, comparison=comparison)
    assert worse.startswith("mrr@10 of tuned must be not worse than mrr@10 of titan, but is worse: -0.5")
    (lacking,) = unmet(scores, {"metric": "dim_128_ndcg@10", "better_than": "titan"}, comparison=comparison)
    assert lacking.endswith("of titan, but titan was not scored by it: its vectors are shorter")
