"""Queries that ask nearly the same as another."""

from __future__ import annotations

import pytest

from embedrun.testing import tiny_model
from embedrun_plugins.stages.filters.similar_queries import SimilarQueries

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SAME = (
    "How much did the company earn in its last year?",
    "How much did the company earn in the last year?",
    "how much did the company earn last year",
)


@pytest.fixture(scope="module")
def real():
    """The wheel's model, which knows what sentences mean."""
    from embedrun.artifacts import Model
    from embedrun_plugins.stages.named_models import folder_of

    return Model(folder_of(MODEL, offline=True))


def asked(filtered, split="train"):
    return {text for text, _ in filtered.pairs(split)}


def test_of_similar_queries_the_first_stays(sift, made, real):
    others = ("What is a copper lantern made of?", "Who built the harbour?")
    data = made(train=[(text, f"passage {n}") for n, text in enumerate((*SAME, *others))])
    left = sift(SimilarQueries(threshold=0.9), data, real)
    assert asked(left) == {SAME[0], *others}
    assert left.notes["train_queries_removed"] == 2
    assert left.notes["examples"] == [[SAME[0], SAME[1]], [SAME[0], SAME[2]]]
    assert len(left.data.documents) == 5
    assert asked(sift(SimilarQueries(threshold=0.9, model=MODEL), data)) == asked(left)


def test_nothing_tested_goes_for_what_is_trained_on_and_training_asks_nothing_that_is_tested(sift, made, real):
    data = made(
        train=[(SAME[0], "a"), ("Who built the harbour?", "b")],
        dev=[(SAME[1], "c"), ("Who paid for it?", "d")],
        test=[(SAME[2], "e"), ("What is it made of?", "f")],
    )
    left = sift(SimilarQueries(), data, real)
    assert asked(left) == {"Who built the harbour?"}
    assert asked(left, "dev") == {"Who paid for it?"}
    assert asked(left, "test") == {SAME[2], "What is it made of?"}
    assert (left.notes["train_similar_to_a_later_split"], left.notes["dev_similar_to_a_later_split"]) == (1, 1)
    within = sift(SimilarQueries(across=False), data, real)
    assert [len(asked(within, split)) for split in ("train", "dev", "test")] == [2, 2, 2]
    assert asked(sift(SimilarQueries(splits=["train"]), data, real), "dev") == {SAME[1], "Who paid for it?"}


def test_queries_with_other_numbers_stay_unless_told_otherwise(sift, made, real):
    data = made(train=[("What was the revenue in 2022?", "a"), ("What was the revenue in 2023?", "b")])
    assert len(asked(sift(SimilarQueries(threshold=0.8), data, real))) == 2
    assert len(asked(sift(SimilarQueries(threshold=0.8, same_numbers=False), data, real))) == 1


def test_a_query_goes_for_one_that_stays_not_for_one_that_went(sift, made, tmp_path, monkeypatch):
    import torch

    from embedrun_plugins.models import encode

    angles = torch.tensor([0.0, 0.4, 0.8])
    vectors = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1)
    monkeypatch.setattr(encode, "embed", lambda *_: vectors)
    data = made(train=[("first question", "a"), ("second question", "b"), ("third question", "c")])
    left = sift(SimilarQueries(), data, tiny_model(tmp_path / "model"))
    assert asked(left) == {"first question", "third question"}


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ("threshold: 1.2", "must be at most 1"),
        ("model: ./nowhere", "model: no such folder"),
        ("revision: main", "revision: belongs to a model of the hub"),
    ],
)
def test_check_refuses_wrong_settings(project, written, sentence):
    project.write("rows.jsonl", '{"question": "q", "answer": "a"}\n')
    project.write(
        "recipe.yaml",
        "model: sentence-transformers/all-MiniLM-L6-v2\n"
        "source: {type: pairs, path: rows.jsonl, columns: {anchor: question, positive: answer}}\n"
        f"filters:\n  - {{type: similar_queries, {written}}}\n"
        "loss: multiple_negatives_ranking\ntrainer: sentence_transformers\n",
    )
    shown = project.run("check", "recipe.yaml")
    assert shown.code == 2
    assert sentence in shown.err, shown.err
