"""The commands beside `run`."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest
from ruamel.yaml import YAML

from embedrun_plugins.services import shipped_recipes

SHIPPED = sorted(shipped_recipes.recipes())

COMMANDS = """
run plan check show runs compare curve reproduce serve verify bench resources delete gc recipes init image plugins skill
schema sagemaker-train sweep
"""


def test_schema_accepts_every_shipped_recipe_and_refuses_an_unknown_key(project):
    schema = project.run("schema").out
    validator = jsonschema.Draft202012Validator(json.loads(schema))
    for name in SHIPPED:
        recipe = YAML(typ="safe").load(shipped_recipes.recipes()[name].read_text("utf-8"))
        assert not list(validator.iter_errors(recipe)), name
        recipe["trainr"] = {}
        assert list(validator.iter_errors(recipe))
        del recipe["trainr"]
        recipe["source"]["pathh"] = "x"
        assert list(validator.iter_errors(recipe))


def test_plugins_lists_every_stage_and_shows_one_with_its_keys(project):
    listed = project.run("plugins").out
    assert "sentence_transformers" in listed
    assert "information_retrieval" in listed
    shown = project.run("plugins", "trainer.sentence_transformers").out
    assert "epochs" in shown
    assert "learning_rate" in shown


@pytest.mark.parametrize("name", SHIPPED)
def test_recipes_copies_a_recipe_that_then_checks_as_it_is(project, name):
    copied = project.run("recipes", name, "mine/own.yaml")
    assert copied.code == 0
    text = (project.folder / "mine/own.yaml").read_text()
    assert text == shipped_recipes.recipes()[name].read_text("utf-8")
    if name == "quickstart":
        assert project.run("check", "mine/own.yaml").code == 0
    assert project.run("recipes", name, "mine/own.yaml").code == 2


def test_a_shipped_recipe_goes_by_its_name(project):
    assert project.run("check", "quickstart").code == 0


def test_init_writes_a_recipe_that_checks(project):
    project.write("pairs.jsonl", '{"anchor": "a", "positive": "b"}\n')
    assert project.run("init", "mine.yaml").code == 0
    assert project.run("check", "mine.yaml").code == 0, project.run("check", "mine.yaml").err


def test_help_names_every_command(project):
    shown = project.run("--help").out
    names = re.findall(r"^    ([\w-]+)(?: {2,}\S|$)", shown, re.MULTILINE)
    assert sorted(names) == sorted(COMMANDS.split())
