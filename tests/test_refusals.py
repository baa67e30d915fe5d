"""Over two hundred wrong recipes, data files and models: each is refused in one line of where, what and what to do."""

from __future__ import annotations

import re

import pytest

from wrong_data import PAIRS, WRONG_DATA
from wrong_models import MODEL, WRONG_MODELS
from wrong_recipes import RECIPE, WRONG_RECIPES

_PROGRESS = re.compile(r"source \(pairs\) …|source failed|run: |report: ")


@pytest.fixture
def refusal(project):
    """Runs the source of a recipe beside a model's files; returns the one line that refuses it, without the folder."""

    def run(recipe=RECIPE, data=("pairs.jsonl", PAIRS), changes=None):
        for name, content in {**MODEL, **(changes or {})}.items():
            path = project.folder / "model" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content is not None:
                path.write_bytes(content)
        name, content = data
        (project.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        project.write("r.yaml", recipe.replace("pairs.jsonl", name))
        outcome = project.run("run", "r.yaml", "--until", "source", "--offline")
        assert outcome.code == 2, outcome.err
        assert not list(project.folder.glob("runs/.store/??/*")), "nothing half-made is published"
        (line,) = [line for line in outcome.err.splitlines() if not _PROGRESS.match(line)]
        return line.replace(f"{project.folder}/", "")

    return run


@pytest.mark.parametrize("name", WRONG_RECIPES)
def test_a_wrong_recipe(refusal, name):
    (line, instead), message = WRONG_RECIPES[name]
    assert refusal(RECIPE.replace(line, instead) if line else instead).startswith(message)


@pytest.mark.parametrize("name", WRONG_DATA)
def test_a_wrong_file_of_rows(refusal, name):
    file, content, message = WRONG_DATA[name]
    assert message in refusal(data=(file, content))


@pytest.mark.parametrize("name", WRONG_MODELS)
def test_a_wrong_folder_of_a_model(refusal, name):
    changes, message = WRONG_MODELS[name]
    assert refusal(changes=changes).removeprefix("r.yaml:1:8: model: ").startswith(message)


def test_there_are_two_hundred():
    assert len(WRONG_RECIPES) + len(WRONG_DATA) + len(WRONG_MODELS) >= 200
