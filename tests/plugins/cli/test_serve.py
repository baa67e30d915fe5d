"""`embedrun serve` serves the model that was asked for, or none."""

import json
from pathlib import Path

import pytest

from embedrun.errors import UserError
from embedrun.file_digests import FileDigests
from embedrun.registry import Registry
from embedrun.testing import tiny_model
from embedrun_plugins.services.served_models import Served, named

KEY = "ab" + "0" * 62


@pytest.fixture
def ended(project, minilm: Path):
    """Write a run's folder that has got as far as `stages`, and find its model."""

    def find(stages: tuple[str, ...], **stated: object) -> Served:
        folder = project.folder / "runs/demo/2026"
        made = [
            {"slot": slot, "type": "x", "key": KEY, "cached": False, "notes": {}, "warnings": []} for slot in stages
        ]
        record = {"name": "demo", "status": "interrupted", "store": "../../.store", "stages": made, "scores": {}}
        lock = {"lock": {"recipe": {"model": {"id": str(minilm)}, **stated}}}
        project.write("runs/demo/2026/run.json", json.dumps(record))
        project.write("runs/demo/2026/recipe.lock.json", json.dumps(lock))
        files = FileDigests(project.folder / "files.json")
        return named(str(folder), Registry(), files, runs=project.folder / "runs", offline=True)

    return find


def kept(folder: Path) -> Path:
    out = folder / "runs/.store" / KEY[:2] / KEY / "out"
    out.mkdir(parents=True)
    return out


def test_a_run_without_the_model_it_should_have_made_is_refused(ended):
    with pytest.raises(UserError, match=r"has no tuned model.*run it again with `embedrun run .*recipe\.lock\.json`"):
        ended(("source",), trainer={"type": "x"}, merge=None)
    with pytest.raises(UserError, match="has no tuned model"):
        ended(("source", "trainer"), trainer={"type": "x"})


def test_a_run_that_should_have_merged_does_not_pass_for_its_tuned_model(ended, project):
    kept(project.folder)
    with pytest.raises(UserError, match="has no merged model"):
        ended(("source", "trainer"), trainer={"type": "x"}, merge={"type": "x"})


def test_a_model_is_named_by_its_run_and_role(ended, project, minilm):
    out = kept(project.folder)
    served = ended(("trainer",), trainer={"type": "x"})
    assert (served.model.path.resolve(), served.name) == (out.resolve(), "demo/2026, tuned")
    served = ended((), trainer=None)
    assert (served.model.path, served.name) == (minilm, "demo/2026, base")


def test_a_key_in_place_of_a_variables_name_is_refused_without_repeating_it(project):
    outcome = project.run("serve", "x", "--api-key-env", "sk-secret")
    assert outcome.code == 2
    assert "must be the name of an environment variable" in outcome.err
    assert "sk-secret" not in outcome.err + outcome.out


@pytest.mark.parametrize("size", ["0", "-3", "many"])
def test_a_client_batch_size_that_is_none_is_refused(project, size):
    outcome = project.run("serve", "x", "--client-batch-size", size)
    assert outcome.code == 2
    assert "--client-batch-size" in outcome.err


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", "null"),
        ("sentence_bert_config.json", "[1]"),
        ("config_sentence_transformers.json", '{"prompts": {"query": 5}}'),
        ("1_Pooling/config.json", "{}"),
    ],
)
def test_a_damaged_model_is_refused_in_a_line(project, file, content):
    tiny_model(project.folder / "model")
    (project.folder / "model" / file).write_text(content)
    outcome = project.run("serve", "model", "--port", "0", "--offline")
    assert outcome.code == 2
    assert "model" in outcome.err.splitlines()[-1]
    assert "Traceback" not in outcome.err
