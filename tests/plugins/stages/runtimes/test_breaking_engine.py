"""Wherever an engine breaks off, the run ends with what to do about it, and no container is left."""

from __future__ import annotations

import json
import threading

import pytest

from fake_engine import Engine

RECIPE = """\
model: model
plugins: [fakes.py]
source: {type: fake}
loss: fake
trainer: {type: fake}
evaluator: fake
runtime: {type: docker, image: one, gpus: none}
"""


@pytest.fixture
def run(project, monkeypatch):
    pytest.importorskip("docker")
    project.write("model/config.json", "{}")
    project.write("r.yaml", RECIPE)

    def on(breaks: str, status: int | None = None):
        with Engine(breaks, status) as engine:
            threading.Thread(target=engine.serve_forever, daemon=True).start()
            monkeypatch.setenv("DOCKER_HOST", engine.address)
            try:
                done = project.run("r.yaml")
            finally:
                engine.shutdown()
        [file] = project.folder.glob("runs/r/*/run.json")
        return done, json.loads(file.read_text()), engine

    return on


BEFORE = ["GET /info", "GET /images/one/json", "GET /images/history", "POST /containers/create"]
AFTER = ["GET /events", "POST /containers/attach", "POST /containers/start"]


@pytest.mark.parametrize("status", [None, 500], ids=["closed", "error"])
@pytest.mark.parametrize("breaks", [*BEFORE, *AFTER])
def test_a_broken_engine_ends_the_run_with_what_to_do(run, breaks, status):
    done, record, engine = run(breaks, status)
    assert done.code in (1, 2), done.err
    assert "Traceback" not in done.err
    # What its stream of events says instead of an event is no event.
    said = "the engine is not well" if status and breaks != "GET /events" else "stopped answering"
    assert said in done.err
    assert record["status"] == "failed"
    assert said in record["error"]
    assert engine.removed is (breaks in AFTER)
