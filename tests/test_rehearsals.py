"""Every shipped recipe passes its rehearsal, and what would go wrong late is found by one."""

from __future__ import annotations

import json
import os
import socket
import tempfile
from pathlib import Path

import pytest

from embedrun.testing import tiny_model
from embedrun_plugins.services import shipped_recipes

RECIPES = shipped_recipes.recipes()


@pytest.fixture
def nowhere(project, monkeypatch):
    """A project without a hub's cache, credentials or data, whose scratch folders can be seen."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "OPENAI_", "HF_TOKEN"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_HOME", str(project.folder / "hf"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(project.folder / "aws"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(project.folder / "aws"))
    (project.folder / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(project.folder / "tmp"))
    return project


def _kept(project) -> list[Path]:
    return list((project.folder / "tmp").glob("embedrun-rehearsal-*"))


@pytest.fixture
def reached(monkeypatch):
    """The addresses beyond this machine that anything in this process tries to reach, whatever becomes of it."""
    found: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def connecting(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            found.append(address)
        return connect(self, address)

    def looking_up(host, *rest, **more):
        if host not in (None, "localhost", "127.0.0.1", "::1"):
            found.append(host)
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_shipped_recipe_passes_its_rehearsal(name, nowhere, reached):
    done = nowhere.run(name, "--rehearse", "--json")
    assert done.code == 0, done.out + done.err
    assert done.json["rehearsed"]
    assert done.json["not_rehearsed"] == []
    assert {stage["status"] for stage in done.json["stages"]} <= {"ok", "replaced"}
    assert not (nowhere.folder / "runs").exists()
    assert not _kept(nowhere)
    assert reached == []


RECIPE = """
model: tiny
source: {type: pairs, path: pairs.jsonl, holdout: {test: 0.2, dev: 0.2}}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 500}
evaluator: information_retrieval
"""


@pytest.fixture
def begun(nowhere):
    """A recipe of the user's own, which trains for long, with its data and a tiny model."""
    tiny_model(nowhere.folder / "tiny")
    rows = [{"anchor": f"where is item {n}?", "positive": f"Item {n} is in room {n % 7}."} for n in range(100)]
    nowhere.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    nowhere.write("mine.yaml", RECIPE)
    return nowhere


def _found_before_training(project, done) -> None:
    assert done.code in (1, 2)
    assert not (project.folder / "runs").exists()


def test_a_metric_that_does_not_exist_is_found(begun):
    best = ["eval_strategy=epoch", "load_best_model_at_end=true", "metric_for_best_model=ndgc@10"]
    done = begun.run("mine.yaml", "--rehearse", *(word for key in best for word in ("--set", f"trainer.{key}")))
    assert "no evaluator produces 'ndgc@10'; did you mean 'ndcg@10'?" in done.err
    _found_before_training(begun, done)


def test_a_limit_on_a_metric_that_does_not_exist_is_found(begun):
    done = begun.run("mine.yaml", "--rehearse", "--set", "evaluator.require=[{metric: dim_64_ndcg@10, min: 0.5}]")
    assert "no metric 'dim_64_ndcg@10' is measured" in done.err
    _found_before_training(begun, done)


def test_a_deployer_without_credentials_is_found(begun):
    done = begun.run("mine.yaml", "--rehearse", "--set", "deployer={type: hub, repo_id: me/mine}")
    assert "HF_TOKEN is not set" in done.err
    _found_before_training(begun, done)


def test_a_model_that_the_server_cannot_load_is_found(begun):
    tiny_model(begun.folder / "wide", pooling="max")
    deployer = "deployer={type: directory, path: made, target: tei}"
    done = begun.run("mine.yaml", "--rehearse", "--set", "model=./wide", "--set", deployer)
    assert "TEI pools by cls, mean or lasttoken" in done.out + done.err
    _found_before_training(begun, done)
    assert not (begun.folder / "made").exists()


def test_a_prompt_with_a_wrong_variable_is_found(begun):
    prompt = "Ask {questions_per_passage} questions about {context}."
    done = begun.run("bge_synthetic", "--rehearse", "--set", f"generator.prompt={prompt}")
    assert "there is no variable '{context}'" in done.err
    assert "did you mean '{passage}'" in done.err
    _found_before_training(begun, done)


def test_what_only_training_would_show_is_found_and_what_was_made_is_kept(begun):
    matryoshka = "loss={type: matryoshka, dims: [64, 32], inner: multiple_negatives_ranking}"
    done = begun.run("mine.yaml", "--rehearse", "--set", matryoshka)
    assert "would not run: trainer (sentence_transformers): loss" in done.out
    (kept,) = _kept(begun)
    assert f"what was made before that: {kept}" in done.out
    assert (kept / "runs").is_dir()
    _found_before_training(begun, done)


def test_a_limit_that_two_steps_cannot_reach_fails_no_rehearsal(begun):
    done = begun.run("mine.yaml", "--rehearse", "--set", "evaluator.require=[{metric: ndcg@10, min: 1}]")
    assert done.code == 0, done.out + done.err
    assert "would run" in done.out


def test_a_rehearsal_says_of_each_stage_what_stood_in(begun):
    done = begun.run("mine.yaml", "--rehearse", "--set", "source.path=elsewhere.jsonl", "--set", "trainer.bf16=true")
    assert done.code == 0, done.out + done.err
    assert "elsewhere.jsonl is not here: 30 made-up rows are used instead" in done.out
    assert "bf16 left out, since this is rehearsed on the CPU" in done.out
    assert "batch_size: 4 in place of 32" in done.out
    assert "rehearsed in" in done.out


def test_a_deployer_that_does_not_say_how_is_not_run(begun):
    words = ["--set", "plugins=[fakes.py]", "--set", "deployer={type: fake, at: deployed.txt}"]
    done = begun.run("mine.yaml", "--rehearse", "--json", *words)
    assert done.code == 0, done.out + done.err
    assert done.json["not_rehearsed"] == ["deployer.fake"]
    assert not (begun.folder / "deployed.txt").exists()


OUTSIDE = """
import urllib.request
from typing import Any, Literal

from embedrun import Context, Filter, RetrievalSet, hookimpl


class Phoning(Filter):
    \"\"\"Asks somebody.\"\"\"

    type: Literal["phoning"] = "phoning"

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        urllib.request.urlopen("http://192.0.2.1/", timeout=2)
        return data


class Listed(Phoning):
    \"\"\"Says whom it asks.\"\"\"

    type: Literal["listed"] = "listed"

    def reaches(self) -> list[str]:
        return ["http://192.0.2.1/"]


@hookimpl
def embedrun_stages() -> list[type]:
    return [Phoning, Listed]
"""


def test_a_stage_that_reaches_another_machine_is_stopped(begun):
    begun.write("outside.py", OUTSIDE)
    done = begun.run("mine.yaml", "--rehearse", "--set", "plugins=[outside.py]", "--set", "filters=[{type: phoning}]")
    assert done.code == 1
    assert "tried to reach 192.0.2.1, but a rehearsal touches nothing outside" in done.out


def test_a_stage_that_says_whom_it_asks_and_not_what_is_run_instead_is_left_out(begun):
    begun.write("outside.py", OUTSIDE)
    words = ["--set", "plugins=[outside.py]", "--set", "filters=[{type: listed}]"]
    done = begun.run("mine.yaml", "--rehearse", "--json", *words)
    assert done.code == 0, done.out + done.err
    assert done.json["not_rehearsed"] == ["filters.0.listed"]


def test_a_source_that_does_not_say_what_is_read_of_it_is_read_whole_and_cut(begun):
    words = ["--set", "plugins=[fakes.py]", "--set", "source={type: fake}"]
    done = begun.run("mine.yaml", "--rehearse", "--json", *words)
    assert done.code == 0, done.out + done.err
    assert done.json["stages"][0]["replaced"] == ["read completely, then cut to a handful of rows"]


def test_a_rehearsal_goes_on_with_no_run(begun):
    done = begun.run("mine.yaml", "--rehearse", "--record", "runs/mine/1")
    assert done.code == 2
    assert "--record" in done.err


def test_a_rehearsal_stops_after_the_stage_that_is_asked_for(begun):
    done = begun.run("mine.yaml", "--rehearse", "--json", "--until", "source")
    assert done.code == 0, done.out + done.err
    assert [stage["slot"] for stage in done.json["stages"]] == ["source"]


def test_data_that_cannot_be_read_fails_the_rehearsal_as_it_would_the_run(begun):
    lines = Path("pairs.jsonl").read_text("utf-8").splitlines()
    begun.write("pairs.jsonl", "\n".join([*lines[:3], '{"anchor": "broken', *lines[3:]]))
    done = begun.run("mine.yaml", "--rehearse")
    assert done.code == 2
    assert "pairs.jsonl:4" in done.out + done.err
