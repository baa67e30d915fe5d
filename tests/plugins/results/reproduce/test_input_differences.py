"""What a result was made of is compared in words of the recipe."""

from __future__ import annotations

import pytest

from embedrun.plan import Step
from embedrun_plugins.results.reproduce import input_differences
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.sources.pairs import Pairs
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

STEP = Step("trainer", SentenceTransformersTrainer(), {"data": "source", "model": "model"}, MultipleNegativesRanking())


def identity(**config):
    return {"kind": "trainer", "owner": ["embedrun", "1"], "version": 1, "config": config}


def made(**changes):
    whole = {
        "schema": 1,
        "stage": identity(epochs=1, lora=None),
        "inputs": {"data": "aa", "model": "bb"},
        "model": {"max_length": None, "prompts": {"query": "q: "}},
        "seed": 42,
        "loss": identity(scale=20.0),
    }
    return {**whole, **changes}


@pytest.mark.parametrize(
    ("now", "told"),
    [
        ({}, []),
        (
            {"stage": identity(epochs=2, lora={"rank": 8})},
            ["trainer.epochs: 1 then, 2 now", "trainer.lora: none then, {'rank': 8} now"],
        ),
        ({"stage": identity(epochs=1)}, ["trainer.lora: is gone"]),
        ({"loss": identity(scale=5.0)}, ["loss.scale: 20.0 then, 5.0 now"]),
        ({"stage": {**made()["stage"], "version": 2}}, ["trainer: the stage's own version is 2 now, and was 1"]),
        (
            {"stage": {**made()["stage"], "owner": ["embedrun", "2"]}},
            ["trainer: its plugin is embedrun 2 now, and was embedrun 1"],
        ),
        ({"inputs": {"data": "aa", "model": "cc"}}, ["model: the files of the model to start from have changed"]),
        (
            {"model": {"max_length": 64, "prompts": {"query": ""}}},
            ["model.max_length: none then, 64 now", "model.prompts.query: 'q: ' then, '' now"],
        ),
        ({"dev": identity()}, ["evaluator: is now part of this stage"]),
    ],
)
def test_each_kind_of_change_is_named(now, told):
    assert list(input_differences.changes(made(), made(**now), STEP)) == told


def test_files_are_named_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("", "utf-8")
    step = Step("source", Pairs(path="rows.jsonl"))
    then, now = ({**made(), "files": [digest]} for digest in ("1", "2"))
    assert list(input_differences.changes(then, now, step)) == ["source: rows.jsonl has changed"]
