"""`embedrun init` writes a recipe that checks, whatever it is given."""

import pytest
from ruamel.yaml import YAML


def read(project, name="mine.yaml"):
    return YAML(typ="safe").load((project.folder / name).read_text("utf-8"))


@pytest.mark.parametrize("name", ["a #b.csv", "my: f.csv", "1.csv", "{a}.csv", "plain.csv", "'q\".csv", "é.csv"])
def test_a_file_may_have_any_name(project, name):
    project.write(name, "anchor,positive\na,b\n")
    assert project.run("init", "mine.yaml", "--data", name).code == 0
    assert read(project)["source"] == {"type": "pairs", "path": name, "holdout": 0.2}
    assert project.run("check", "mine.yaml").code == 0
    assert ('"' in (project.folder / "mine.yaml").read_text("utf-8")) == (name != "plain.csv")


def test_a_model_may_begin_with_any_character(project):
    project.run("init", "mine.yaml", "--model", "@x")
    assert read(project)["model"] == "@x"


def test_a_missing_file_is_said(project):
    outcome = project.run("init", "mine.yaml", "--data", "absent.csv")
    assert outcome.code == 0
    assert "absent.csv: no such file yet" in outcome.out


@pytest.mark.parametrize(
    ("header", "anchor", "positive"),
    [
        ("left,right", "left", "right"),
        ("id,Frage: 1,Antwort", "Frage: 1", "Antwort"),
        ("reply,question", "question", "reply"),
    ],
)
def test_columns_are_taken_from_the_header_where_their_names_are_not_known(project, header, anchor, positive):
    project.write("rows.csv", f"{header}\n")
    project.run("init", "mine.yaml", "--data", "rows.csv")
    assert read(project)["source"]["columns"] == {"anchor": anchor, "positive": positive}
    assert project.run("check", "mine.yaml").code == 0


def test_help_says_what_each_argument_is(project):
    shown = project.run("init", "--help").out
    assert "recipe to write" in shown
    assert "model to start from" in shown
