"""`embedrun show` tells of a run, and exports what it trains on."""

from __future__ import annotations

import json

import pytest

from embedrun.artifacts import RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.sources.pairs import Pairs

RECIPE = """
name: exported
model: {model}
source:
  type: pairs
  path: rows.jsonl
evaluator: []
deployer: {{type: directory, path: served}}
"""


@pytest.fixture
def exported(project, tiny_path):
    def run(rows, *words):
        project.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
        project.write("recipe.yaml", RECIPE.format(model=tiny_path))
        ran = project.run("run", "recipe.yaml", "--until", "source")
        assert ran.code == 0, ran.err
        return project.run("show", "exported", "--export", "flag", *words)

    return run


@pytest.fixture
def tiny_path(project):
    """A folder that is taken for a model, which this never loads."""
    project.write("model/config.json", "{}")
    return project.folder / "model"


ROWS = [
    {"query": "where is the lamp?", "pos": ["in room 1", "in the house"], "neg": ["in room 2", "in “room” 3"]},
    {"query": "where is the saddle?", "pos": ["in room 2"], "neg": ["in the house"]},
]
TAUGHT = [
    {**ROWS[0], "pos_scores": [0.9, 0.5], "neg_scores": [0.25, 0.125]},
    {**ROWS[1], "pos_scores": [2.0], "neg_scores": [-1.5]},
]


@pytest.mark.parametrize("rows", [ROWS, TAUGHT], ids=["plain", "with a teacher's scores"])
def test_what_is_exported_for_flagembedding_is_what_was_read(rows, exported):
    shown = exported(rows)
    assert [json.loads(line) for line in shown.out.splitlines()] == rows
    assert shown.err == ""


def test_an_exported_file_is_read_back_as_the_same_set(exported, project, tmp_path):
    assert exported(TAUGHT, "--to", "flag/train.jsonl").code == 0
    out = tmp_path / "read"
    again = Pairs(path=project.folder / "flag/train.jsonl").run(Context(out=out, state=tmp_path))
    (first,) = (tmp_path / "runs/.store").rglob("out/corpus.jsonl")
    before = RetrievalSet(first.parent)
    assert again.documents == before.documents
    assert again.queries == before.queries
    assert again.qrels("train") == before.qrels("train")
    assert again.negatives() == before.negatives()


def test_questions_without_negatives_are_told(exported):
    shown = exported([*ROWS, {"query": "where is the river?", "pos": ["in room 3"], "neg": []}])
    assert json.loads(shown.out.splitlines()[-1])["neg"] == []
    assert "questions without negatives: 1;" in shown.err


def test_nothing_is_overwritten(exported, project):
    project.write("kept.jsonl", "mine")
    shown = exported(ROWS, "--to", "kept.jsonl")
    assert shown.code == 2
    assert "kept.jsonl: exists already" in shown.err
    assert (project.folder / "kept.jsonl").read_text("utf-8") == "mine"


def test_an_export_that_fails_leaves_no_file(exported, project):
    assert exported(ROWS).code == 0
    (corpus,) = (project.folder / "runs/.store").rglob("out/corpus.jsonl")
    corpus.write_text(corpus.read_text("utf-8").partition("\n")[0] + "\n", "utf-8")
    shown = project.run("show", "exported", "--export", "flag", "--to", "half.jsonl")
    assert shown.code == 2
    assert "which does not exist" in shown.err
    assert not (project.folder / "half.jsonl").exists()


def test_an_export_needs_its_form_and_its_data(exported, project):
    assert exported(ROWS).code == 0
    lone = project.run("show", "exported", "--to", "x.jsonl")
    assert (lone.code, lone.out) == (2, "")
    assert "add --export flag" in lone.err
    unknown = project.run("show", "exported", "--export", "csv")
    assert unknown.code == 2
    assert "invalid choice: 'csv'" in unknown.err
    for folder in (project.folder / "runs/.store").rglob("out"):
        folder.rename(folder.with_name("gone"))
    gone = project.run("show", "exported", "--export", "flag")
    assert gone.code == 2
    assert "run the recipe again, with --until source" in gone.err


def test_a_run_is_shown_with_its_stages(exported, project):
    exported(ROWS)
    shown = project.run("show", "exported")
    assert shown.code == 0
    assert "source" in shown.out
    assert project.run("show", "exported", "--json").out.startswith("{")
