"""What a container is given beside files: the hub's caches, and the models that packages bring here."""

from __future__ import annotations

import json

import pytest
from huggingface_hub import constants

from embedrun.console import Console
from embedrun.execution import Execution, Loaded, Settings
from embedrun.store import Store
from embedrun_plugins.services.docker import environment

FETCHING = '''\
from typing import Literal

from embedrun import Source, hookimpl
from embedrun.testing import small_set


class Fetching(Source):
    """Takes what is on the hub, and in its cache."""

    type: Literal["fetching"] = "fetching"

    def columns_given(self):
        return frozenset({"positive"})

    def splits_given(self):
        return frozenset({"train", "dev", "test"})

    def fetch(self, resolver):
        pass

    def run(self, ctx):
        return small_set(ctx.out)


@hookimpl
def embedrun_stages():
    return [Fetching]
'''
RECIPE = """\
model: model
plugins: [fakes.py, fetching.py]
source: {type: fetching}
loss: fake
trainer: {type: fake}
evaluator: fake
"""


@pytest.fixture
def job(project):
    project.write("model/config.json", "{}")
    project.write("fetching.py", FETCHING)
    settings = Settings(offline=True)
    loaded, store = Loaded.read(project.write("r.yaml", RECIPE)), Store(settings.store_folder)
    return Execution(loaded, loaded.plan(settings), store, project.folder / "run", settings, Console()).job


@pytest.mark.parametrize("name", ["hub", "datasets", "models of mine"])
def test_the_hubs_caches_are_told_whatever_their_folders_are_called(job, tmp_path, monkeypatch, name):
    hub, datasets = tmp_path / "here" / name, tmp_path / "there" / "hub"
    for folder in (hub, datasets):
        folder.mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub))
    monkeypatch.setenv("HF_DATASETS_CACHE", str(datasets))
    given = environment.variables(environment.download(job()), [], None)
    assert (given["HF_HUB_CACHE"], given["HF_DATASETS_CACHE"]) == (str(hub), str(datasets))


def test_every_copy_of_a_hub_model_that_is_here_is_told_since_any_stage_may_name_it(job, tmp_path, monkeypatch):
    (tmp_path / "judge").mkdir()
    here = {"id": "acme/judge", "path": str(tmp_path / "judge"), "sha256": "0" * 64}
    gone = {"id": "acme/gone", "path": str(tmp_path / "gone"), "sha256": "0" * 64}
    monkeypatch.setenv("EMBEDRUN_MODELS", json.dumps([here, gone]))
    given = environment.variables({}, environment.copies(job()), None)
    assert json.loads(given["EMBEDRUN_MODELS"]) == [here]
