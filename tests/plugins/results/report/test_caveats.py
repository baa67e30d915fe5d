"""What the data take away from a verdict."""

import json

import pytest

from embedrun.artifacts import Document, Judgement, Query, RetrievalSet
from embedrun_plugins.cli.score_tables import report as tables
from embedrun_plugins.results.caveats import caveats, headline
from embedrun_plugins.results.comparison import of_run
from embedrun_plugins.results.report import report
from embedrun_plugins.results.train_overlap import TrainOverlap

QUERIES = 12


def judged(made, slot="source", *, trained: int, asked_again: int = 0) -> None:
    """Write a set whose test shares so many passages, and questions, with training."""
    documents = [Document(f"d{i}", f"Passage {i} on lanterns") for i in range(QUERIES)]
    copies = [Document(f"c{i}", f"PASSAGE {i}, on lanterns!") for i in range(trained)]
    queries = [Query(f"q{i}", f"Question {i}?") for i in range(QUERIES)]
    others = [Query(f"t{i}", f"question {i}" if i < asked_again else f"Another {i}") for i in range(QUERIES)]
    train = [Judgement(f"t{i}", f"c{i}") for i in range(trained)]
    RetrievalSet.write(
        made.artifact(slot),
        documents=[*documents, *copies],
        queries=[*queries, *others],
        qrels={"train": train, "test": [Judgement(f"q{i}", f"d{i}") for i in range(QUERIES)]},
    )


def clauses(made) -> list[str]:
    run = made.write()
    (contest,) = of_run(run)
    return caveats(run, contest)


def verdict(made, word: str, units: int = 100) -> None:
    for row in made.data["comparisons"]["information_retrieval"]:
        row.update(verdict=word, units=units)


def test_a_leak_qualifies_the_headline_on_the_terminal_and_in_the_report(made):
    judged(made, trained=8)
    verdict(made, "better")
    assert clauses(made) == ["67% of the test's passages were trained on"]
    run = made.write()
    sentence = "Better, but 67% of the test's passages were trained on"
    assert sentence in tables(run)
    assert sentence.replace("'", "&#x27;") in report.of_run(run)


def test_where_nothing_is_trained_nothing_is_called_trained_on(made):
    judged(made, trained=8)
    verdict(made, "better")
    del made.lock["trainer"]
    assert clauses(made) == []
    assert "trained on" not in report.of_run(made.write())


def test_a_benchmark_that_shares_its_corpus_by_design_is_no_leak_but_shared_questions_are(made):
    judged(made, trained=8)
    verdict(made, "better")
    made.lock["source"] = {"type": "beir", "holdout": None}
    assert clauses(made) == []
    made.lock["source"] = {"type": "beir", "holdout": {"test": 0.1, "by": "row"}}
    assert clauses(made) == ["67% of the test's passages were trained on"]


def test_questions_that_are_trained_on_are_told_whoever_split_them(made):
    judged(made, trained=8, asked_again=3)
    verdict(made, "worse")
    made.lock["source"] = {"type": "beir", "holdout": None}
    assert clauses(made) == ["25% of the test's queries were trained on"]


def test_after_a_filter_only_what_still_holds_is_told(made):
    judged(made, trained=8)
    judged(made, "filters.0.leakage", trained=0)
    verdict(made, "better")
    leaks = {"passages": 12, "passages_trained_on": 0, "queries": 12, "queries_trained_on": 0}
    made.data["stages"][0]["warnings"] = ["the test split leaks: 3 of its 12 passages", "the test split leaks oil"]
    made.stage("filters.0.leakage", "leakage", notes={"test_leaks": leaks})
    assert clauses(made) == []
    page = report.of_run(made.write())
    assert "none of them is trained on" in page
    assert "3 of these passages" not in page, "which is what the source had counted"
    assert "split leaks: 3 of its" not in page
    assert "split leaks oil" in page


def test_a_filter_that_does_not_count_leaks_leaves_none_of_the_sources_counts(made):
    judged(made, trained=8)
    judged(made, "filters.0.length", trained=8)
    made.stage("filters.0.length", "length", notes={"train_queries": 8})
    assert "of these passages" not in report.of_run(made.write())
    verdict(made, "better")
    assert clauses(made) == ["67% of the test's passages were trained on"]


def test_few_units_and_texts_that_are_cut_qualify_it_too(made):
    judged(made, trained=0)
    verdict(made, "better", units=12)
    made.data["stages"] = [stage for stage in made.data["stages"] if not stage["slot"].endswith(".tuned")]
    notes = {"queries": 12, "documents_cut": 0.31, "queries_with_unjudged_copies": 3}
    made.stage("evaluator.information_retrieval.tuned", "information_retrieval", notes=notes)
    others = [
        "for 25% of the queries a copy of the right passage counts as a mistake",
        "31% of the passages are longer than the model reads",
    ]
    assert clauses(made) == ["it rests on 12 independent units of queries", *others]
    verdict(made, "can't tell", units=12)
    assert clauses(made) == others


def test_a_copy_that_nobody_judged_is_counted_and_one_that_is_relevant_is_not(tmp_path):
    from embedrun_plugins.stages.evaluators.retrieval_task import Task
    from embedrun_plugins.stages.evaluators.unjudged_copies import queries_with_copies

    texts = {"a": "A lamp.", "b": "a LAMP", "c": "A stone.", "d": "a stone!", "e": "A river."}
    queries = [Query(name, f"{name}?") for name in "xyz"]
    lines = [Judgement("x", "a"), Judgement("y", "c"), Judgement("y", "d"), Judgement("z", "e")]
    documents = [Document(name, text) for name, text in texts.items()]
    data = RetrievalSet.write(tmp_path / "in", documents=documents, queries=queries, qrels={"test": lines})
    assert queries_with_copies(Task.of(data, "test", graded=False, ignore_identical_ids=None)) == 1


@pytest.mark.parametrize(
    ("word", "parts", "sentence"),
    [
        ("better", [], "Better"),
        ("better", ["a"], "Better, but a"),
        ("worse", ["a", "b"], "Worse, but a and b"),
        ("can't tell", ["a"], "Can't tell, and a"),
    ],
)
def test_a_headline_is_a_sentence(word, parts, sentence):
    assert headline(word, parts) == sentence


RECIPE = """
model: ./model
source: {type: pairs, path: rows.jsonl, holdout: {test: 0.3, by: row}}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 1, batch_size: 8}
evaluator: {type: information_retrieval, ndcg_at_k: [10], max_trained_on: %s}
"""


def test_a_run_can_refuse_a_test_that_is_trained_on(project):
    from embedrun.testing import tiny_model

    tiny_model(project.folder / "model")
    rows = [{"question": f"where is lamp {n}", "answer": f"lamp {n // 4} is in the hall"} for n in range(40)]
    project.write("rows.jsonl", "\n".join(map(json.dumps, rows)))
    project.write("recipe.yaml", RECIPE % "0")
    refused = project.run("run", "recipe.yaml")
    assert refused.code != 0
    assert "passages of the test split" in refused.err
    assert "are trained on; max_trained_on allows 0.0%" in refused.err
    project.write("recipe.yaml", RECIPE % "1")
    assert project.run("run", "recipe.yaml").code == 0
    (scores, *_) = (project.folder / "runs/.store").glob("*/*/out/train_overlap.json")
    overlap = TrainOverlap.read(scores.parent)
    assert overlap
    assert overlap.passages_trained_on > 0
