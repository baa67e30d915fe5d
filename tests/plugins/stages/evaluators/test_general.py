"""What a training cost elsewhere: sets that have nothing to do with the recipe's, and the limit on their loss."""

from __future__ import annotations

import json
import random

import pytest

from embedrun import Context, Document, Judgement, Query, RetrievalSet, RunRecord, Scores
from embedrun.artifacts import Comparison
from embedrun.testing import check_stage, small_set, tiny_model
from embedrun_plugins.stages.evaluators.general import General

THINGS = "anchor lamp river stone cloud copper garden violin harbour pepper window saddle lantern meadow timber glacier"


def beir(folder, name, *, queries=12):
    """Write a set in BEIR layout whose questions share no id with any other set's, but whose ids are the same."""
    words = THINGS.split()
    random.Random(name).shuffle(words)
    documents = [Document(f"d{n}", f"the {word} of {name} is kept in room {n}") for n, word in enumerate(words)]
    asked = [Query(f"q{n}", f"where is the {word}") for n, word in enumerate(words[:queries])]
    qrels = {"test": [Judgement(f"q{n}", f"d{n}") for n in range(queries)]}
    return RetrievalSet.write(folder / name, documents=documents, queries=asked, qrels=qrels)


@pytest.fixture
def sets(tmp_path):
    return [str(beir(tmp_path / "sets", name).path) for name in ("tools", "places")]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def test_each_set_has_its_metric_its_queries_and_its_files(sets, tmp_path, tiny):
    scores = check_stage(General(sets=[*sets, {"name": "third", "source": sets[0]}]), tmp_path / "check", model=tiny)
    assert list(scores.metrics) == ["tools_ndcg@10", "places_ndcg@10", "third_ndcg@10"]
    assert scores.metrics["tools_ndcg@10"] == scores.metrics["third_ndcg@10"] != scores.metrics["places_ndcg@10"]
    queries = [set(values) for values in scores.per_query.values()]
    assert queries[0] == {f"tools/q{n}" for n in range(12)}
    assert not queries[0] & queries[1], "equal ids of two sets are two queries"
    units = json.loads((scores.path / "units.json").read_text())["units"]
    assert len(set(units.values())) == 36
    assert {file.name for file in scores.path.glob("*.trec")} == {
        f"{kind}.{name}.trec" for kind in ("run", "qrels") for name in ("tools", "places", "third")
    }


def test_it_scores_as_information_retrieval_does(sets, tmp_path, tiny):
    from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval

    for folder in ("out", "state", "own"):
        (tmp_path / folder).mkdir()
    ctx = Context(out=tmp_path / "out", state=tmp_path / "state", device="cpu")
    other = General(sets=sets[:1], metric="mrr@10").run(ctx, small_set(tmp_path / "small"), tiny)
    own = Context(out=tmp_path / "own", state=tmp_path / "state", device="cpu")
    plain = InformationRetrieval().run(own, RetrievalSet(tmp_path / "sets/tools"), tiny)
    assert other.metrics["tools_mrr@10"] == plain.metrics["mrr@10"]
    assert list(other.per_query["tools_mrr@10"].values()) == list(plain.per_query["mrr@10"].values())


def scored(folder, **values):
    """Write scores of sets by query."""
    per_query = {name: {f"{name}/q{n}": value for n, value in enumerate(column)} for name, column in values.items()}
    return Scores.write(folder, {name: sum(column) / len(column) for name, column in values.items()}, per_query)


def drops(tmp_path, **by_set):
    """Return base and tuned scores in which each set's queries fall by the amounts given."""
    base = scored(tmp_path / "base", **{f"{name}_ndcg@10": [0.8] * len(fall) for name, fall in by_set.items()})
    tuned = {f"{name}_ndcg@10": [0.8 - part for part in fall] for name, fall in by_set.items()}
    return {"base": base, "tuned": scored(tmp_path / "tuned", **tuned)}


def unmet(evaluator, scores, tmp_path):
    (tmp_path / "compared").mkdir(exist_ok=True)
    comparison = evaluator.compare(Context(out=tmp_path / "compared", state=tmp_path), scores)
    return list(evaluator.unmet(scores, comparison)), comparison


def test_no_set_may_lose_more_than_the_limit(sets, tmp_path):
    scores = drops(tmp_path, tools=[0.01] * 6 + [0.02] * 6, places=[0.3, 0.2, 0.1] * 4)
    ((message,), _) = unmet(General(sets=sets, require=({"max_drop": 0.02},)), scores, tmp_path)
    assert message.startswith(
        "places_ndcg@10 of tuned may fall by 0.02 at most, but falls further: -0.2000, 95% interval -0."
    )
    assert "over 12 queries (0 won, 12 lost)" in message
    assert not unmet(General(sets=sets, require=({"max_drop": 0.02, "sets": ["tools"]},)), scores, tmp_path)[0]
    assert not unmet(General(sets=sets, require=({"max_drop": 0.25},)), scores, tmp_path)[0]


def test_by_interval_a_loss_must_be_ruled_out(sets, tmp_path):
    scores = drops(tmp_path, tools=[0.1, -0.1] * 6, places=[0.0] * 12)
    assert not unmet(General(sets=sets, require=({"max_drop": 0.02},)), scores, tmp_path)[0]
    strict = General(sets=sets, require=({"max_drop": 0.02, "by": "interval"},))
    (tools, places), _ = unmet(strict, scores, tmp_path)
    assert tools.startswith("tools_ndcg@10 of tuned may fall by 0.02 at most, but may fall further: +0.0000, 95%")
    assert places.startswith("places_ndcg@10"), "twelve queries that all stay the same do not rule out much either"


def test_the_verdicts_on_all_sets_are_corrected_alike(sets, tmp_path):
    _, comparison = unmet(General(sets=sets), drops(tmp_path, tools=[0.1, 0.2] * 6, places=[0.1, 0.3] * 6), tmp_path)
    assert [row["verdict"] for row in comparison.rows] == ["worse", "worse"]
    assert all(row["p_adjusted"] is not None for row in comparison.rows)


def test_of_several_seeds_the_first_and_the_mean_must_hold(sets, tmp_path):
    scores = drops(tmp_path, tools=[0.0] * 12, places=[0.0] * 12)
    fallen = {f"{name}_ndcg@10": [0.7, 0.6] * 6 for name in ("tools", "places")}
    scores["tuned.seed_7"] = scored(tmp_path / "seed", **fallen)
    messages, _ = unmet(General(sets=sets, require=({"max_drop": 0.02},)), scores, tmp_path)
    assert len(messages) == 2
    assert "falls further: -0.0750" in messages[0]
    assert "over 2 trainings and 12 queries" in messages[0]


def test_what_is_wrong_with_the_sets_is_said_before_anything_runs(sets):
    faults = General(
        sets=[sets[0], {"name": "tools", "source": "everyday"}, {"name": "dev", "source": "everyday", "split": "dev"}],
        require=({"max_drop": 0.1, "sets": ["tolls"]},),
    ).faults()
    assert list(faults) == [
        "sets: two are called 'tools'; name one of them: {name: …, source: …}",
        "sets: 'dev' has test, but its 'dev' split is asked",
        "require.sets: there is no set 'tolls'; did you mean 'tools'?",
    ]


RECIPE = """
model: ./model/tiny
source: {{type: pairs, path: pairs.jsonl, holdout: 0.5}}
loss: multiple_negatives_ranking
trainer: {{type: sentence_transformers, max_steps: 2, batch_size: 8, learning_rate: {rate}}}
evaluator:
- information_retrieval
- {{type: general, sets: [./sets/tools, ./sets/places, everyday], require: {{max_drop: 0.02}}}}
"""
ROWS = [
    {"anchor": f"where is the {word}", "positive": f"The {word} is kept in house {n}."}
    for n, word in enumerate(THINGS.split())
]


@pytest.fixture
def trained(project, sets):
    """A project with a recipe, and what a run of it at a learning rate gives."""
    tiny_model(project.folder / "model/tiny")
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS))

    def run(rate, *words):
        project.write("demo.yaml", RECIPE.format(rate=rate))
        return project.run("demo.yaml", "--json", *words)

    return run


def test_a_learning_rate_that_ruins_the_model_fails_the_limit(trained, project):
    careful = trained("1e-7")
    assert careful.code == 0, careful.err
    assert {row["verdict"] for row in careful.json["comparisons"]["general"]} <= {"can't tell", "better"}
    ruined = trained("10")
    assert ruined.code == 1
    assert "the recipe's requirements do not hold:" in ruined.err
    assert "general: tools_ndcg@10 of tuned may fall by 0.02 at most, but falls further: -" in ruined.err
    stages = {stage["slot"]: stage["cached"] for stage in ruined.json["stages"]}
    assert stages["evaluator.general.base"], "the base is scored once"
    record = RunRecord.read(project.folder / ruined.json["run"])
    report = (record.folder / "report.html").read_text("utf-8")
    assert "Here and elsewhere" in report
    assert "Here: ndcg@10" in report
    assert "Elsewhere: everyday_ndcg@10" in report


def test_the_base_is_scored_once_for_all_recipes_and_again_where_a_set_changes(trained, project, tmp_path):
    assert trained("1e-7", "--until", "evaluator.general.base").code == 0
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in ROWS[:12]))
    other = trained("1e-7", "--until", "evaluator.general.base").json["stages"]
    assert {stage["slot"]: stage["cached"] for stage in other} == {
        "source": False,
        "evaluator.information_retrieval.base": False,
        "evaluator.general.base": True,
    }
    beir(tmp_path / "sets", "tools", queries=11)
    (*_, general) = trained("1e-7", "--until", "evaluator.general.base").json["stages"]
    assert not general["cached"]


PLUGIN = '''
from typing import Literal
from embedrun import Document, Judgement, Query, RetrievalSet, Source, hookimpl

class HouseRules(Source):
    """Two rules of a house."""
    type: Literal["house_rules"] = "house_rules"

    def run(self, ctx):
        documents = [Document.of("No noise after ten."), Document.of("Bikes stand in the yard.")]
        query = Query.of("when must it be quiet")
        qrels = {"test": [Judgement(query.id, documents[0].id)]}
        return RetrievalSet.write(ctx.out, documents=documents, queries=[query], qrels=qrels)

    def columns_given(self):
        return frozenset({"positive"})

@hookimpl
def embedrun_stages():
    return [HouseRules]
'''


def test_a_plugin_brings_a_set_as_a_source_without_keys(project):
    tiny_model(project.folder / "model/tiny")
    project.write("rules.py", PLUGIN)
    recipe = (
        "model: ./model/tiny\nplugins: [rules.py]\nsource: house_rules\nevaluator: {type: general, sets: [house_rules]}"
    )
    project.write("demo.yaml", recipe)
    done = project.run("demo.yaml", "--json")
    assert done.code == 0, done.err
    assert list(done.json["scores"]["general"]["base"]) == ["house_rules_ndcg@10"]


def test_a_rehearsal_asks_a_few_queries_of_each_set(trained):
    done = trained("1e-3", "--rehearse")
    assert done.code == 0, done.err + done.out


def test_misspelt_sets_are_explained(project):
    tiny_model(project.folder / "model/tiny")
    project.write(
        "demo.yaml", "model: ./model/tiny\nsource: everyday\nevaluator: {type: general, sets: [evryday, ./gone]}"
    )
    refused = project.run("check", "demo.yaml")
    assert refused.code == 2
    assert "there is no source 'evryday'; did you mean 'everyday'?" in refused.err
    project.write("demo.yaml", "model: ./model/tiny\nsource: everyday\nevaluator: {type: general, sets: [./gone]}")
    refused = project.run("check", "demo.yaml")
    assert refused.code == 2
    assert "gone" in refused.err


def test_old_comparisons_are_judged_too(sets, tmp_path):
    scores = drops(tmp_path, tools=[0.3] * 12, places=[0.0] * 12)
    empty = Comparison.write(tmp_path / "none", [])
    (message,) = General(sets=sets, require=({"max_drop": 0.02},)).unmet(scores, empty)
    assert "-0.3000" in message
