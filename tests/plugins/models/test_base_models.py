"""Which model a recipe means: a folder, an installed copy, or the hub at a commit."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import fake_hub
from embedrun import LocalModel, PluginError, UserError, hookimpl
from embedrun.file_digests import FileDigests
from embedrun.model_settings import ModelChoice
from embedrun.registry import Registry
from embedrun.testing import tiny_model
from embedrun_plugins.models.base_models import find

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
# huggingface_hub reads the hub's address once, when it is imported; so each test asks in a process of its own.
SCRIPT = """
import json, sys
from pathlib import Path
from embedrun.errors import EmbedrunError
from embedrun_plugins.models.base_models import fetch, find
from embedrun.recipe import ModelChoice
from embedrun.registry import Registry
from embedrun.file_digests import FileDigests

answers = []
for choice, offline in json.loads(sys.argv[1]):
    try:
        files = FileDigests(Path("digests.json"))
        base = find(ModelChoice(**choice), Registry().local_models(), files, folder=Path(), offline=offline)
        names = sorted(path.name for path in fetch(base, offline=offline).iterdir())
        answers.append({"revision": base.choice.revision, "digest": base.digest, "files": names})
    except EmbedrunError as error:
        answers.append({"error": str(error)})
print(json.dumps(answers))
"""


def asked(tmp_path, address, *questions):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", SCRIPT, json.dumps(questions)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def chosen(tmp_path, name, registry=None, **choice):
    files = FileDigests(tmp_path / "digests.json")
    return find(
        ModelChoice(id=name, **choice), (registry or Registry()).local_models(), files, folder=tmp_path, offline=True
    )


def test_a_model_of_the_hub_is_fixed_to_its_commit_and_found_again_offline(tmp_path):
    files = {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "pytorch_model.bin": b"pickle",
        "1_Pooling/config.json": b"{}",
    }
    with fake_hub.serving("models", "someone/model", files) as address:
        online, gone, offline = asked(
            tmp_path,
            address,
            ({"id": "someone/model"}, False),
            ({"id": "someone/nothing"}, False),
            ({"id": "someone/model"}, True),
        )
    assert online["revision"] == fake_hub.COMMIT
    assert online["files"] == ["1_Pooling", "config.json", "model.safetensors"], "pickled weights are not even fetched"
    assert "is neither a folder here nor on the hub" in gone["error"]
    assert offline == online


def test_a_model_without_safetensors_is_refused(tmp_path):
    with fake_hub.serving("models", "someone/model", {"config.json": b"{}", "pytorch_model.bin": b"pickle"}) as address:
        (answer,) = asked(tmp_path, address, ({"id": "someone/model"}, False))
    assert "pickled ones are never loaded" in answer["error"]


def test_a_hub_that_cannot_be_reached_is_explained(tmp_path):
    (answer,) = asked(tmp_path, "http://127.0.0.1:9", ({"id": "someone/model"}, False))
    assert "the hub cannot be reached" in answer["error"]
    assert "name a folder" in answer["error"]


def test_an_installed_copy_stands_in_for_the_hub(tmp_path, minilm):
    base = chosen(tmp_path, MINILM)
    assert base.path == minilm
    assert base.choice.revision is None


def test_a_revision_is_not_taken_from_an_installed_copy(tmp_path, minilm):
    with pytest.raises(UserError, match="the hub cannot be reached"):
        chosen(tmp_path, MINILM, revision="main")


def test_a_near_name_of_an_installed_copy_is_suggested(tmp_path, minilm):
    with pytest.raises(UserError, match=f"did you mean '{MINILM}', which is installed"):
        chosen(tmp_path, "sentence-transformers/all-MiniLM-L6-v3")


def test_a_damaged_copy_is_refused(tmp_path):
    tiny = tiny_model(tmp_path / "tiny").path

    class Plugin:
        @hookimpl
        def embedrun_models(self):
            return [LocalModel("someone/tiny", tiny, "0" * 64)]

    registry = Registry()
    registry.hooks.register(Plugin())
    with pytest.raises(PluginError, match="damaged"):
        chosen(tmp_path, "someone/tiny", registry)


def test_a_folder_wins_and_is_known_by_its_content(tmp_path):
    tiny = tiny_model(tmp_path / "tiny").path
    before = chosen(tmp_path, "tiny")
    assert before.path == tiny.resolve()
    (tiny / "config.json").write_text((tiny / "config.json").read_text() + " ")
    assert chosen(tmp_path, "tiny").digest != before.digest
