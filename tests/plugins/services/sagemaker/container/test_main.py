"""A job's containers train, stop, go on and fail as SageMaker expects of them."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import httpx
import pytest

from embedrun import Model
from embedrun_plugins.services.sagemaker.container.metrics import METRICS

LONG = {"trainer.epochs": 60, "trainer.logging_steps": 7, "until": "trainer"}
TWO = ("127.0.0.1", "127.0.0.2")


def run_all(machines) -> list[int]:
    started = [machine.start() for machine in machines]
    return [process.wait(180) for process in started]


def history(machine) -> str:
    (file,) = machine.prefix.glob("checkpoints/store/*/*/out/training_history.json")
    return file.read_text("utf-8")


def answered(model) -> None:
    """Ask the server as SageMaker asks the container of an endpoint."""
    words = [sys.executable, "-m", "embedrun", "serve", str(model), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = re.search(r"http://[\d.:]+", server.stdout.readline())[0]
            assert httpx.get(f"{url}/ping").status_code == 200
            body = json.dumps({"inputs": "where is the lamp? " * 330_000}).encode()
            assert 6_000_000 < len(body) <= 6_291_456
            (vector,) = httpx.post(f"{url}/invocations", content=body, timeout=60).json()
            assert len(vector) == 32
        finally:
            server.terminate()


def test_a_job_leaves_a_model_its_run_and_all_results(trained_by, project):
    (machine,) = trained_by(seed=7)
    assert machine.run() == 0, machine.log
    assert not (machine.prefix / "output/failure").exists()
    assert Model(machine.prefix / "model").load("cpu").encode(["the lamp"]).shape == (1, 32)
    answered(machine.prefix / "model")
    types = [module["type"] for module in json.loads((machine.prefix / "model/modules.json").read_text("utf-8"))]
    assert types[0] == "sentence_transformers.models.Transformer"
    run = machine.prefix / "output/data/run"
    record = json.loads((run / "run.json").read_text("utf-8"))
    assert (record["status"], record["seed"]) == ("done", 7)
    assert (run / "report.html").exists()
    shown = project.run("show", run)
    assert "ndcg@10" in shown.out
    assert "model: " in shown.out
    for metric in ("train:loss", "train:learning_rate", "information_retrieval:tuned:ndcg@10"):
        (found,) = [definition["Regex"] for definition in METRICS if definition["Name"] == metric]
        values = re.findall(found, machine.log)
        assert values, metric
        assert all(float(value) >= 0 for value in values)
    assert float(values[-1]) == pytest.approx(record["scores"]["information_retrieval"]["tuned"]["ndcg@10"], abs=1e-6)


def test_a_stopped_job_goes_on_to_the_same_model(trained_by):
    (whole,) = trained_by("whole", **LONG)
    assert whole.run() == 0, whole.log
    (stopped,) = trained_by("stopped", **LONG)
    process = stopped.start()
    stopped.stop_at(process, 21)
    assert process.wait(60) == 143, stopped.log
    assert not (stopped.prefix / "output/failure").exists()
    assert not list((stopped.prefix / "model").glob("*"))
    (checkpoint,) = stopped.prefix.glob("checkpoints/store/tmp/*/state/checkpoints/checkpoint-*")
    assert int(checkpoint.name.rsplit("-", 1)[-1]) >= 21
    (again,) = trained_by("again", **LONG)
    (stopped.prefix / "checkpoints").rename(again.prefix / "checkpoints")
    assert again.run() == 0, again.log
    steps = [int(step) for step in re.findall(r"train:step=(\d+)", again.log)]
    assert min(steps) > 21
    assert again.digest == whole.digest
    assert history(again) == history(whole)
    assert again.stages["source"]["cached"]


def test_two_stopped_machines_go_on_to_what_two_processes_of_one_make(trained_by):
    (one,) = trained_by("one", nproc_per_node=2, **LONG)
    assert one.run() == 0, one.log
    assert one.stages["trainer"]["notes"]["processes"] == 2
    first, second = trained_by("two", TWO, **LONG)
    processes = [second.start(), first.start()]
    first.stop_at(processes[1], 7)
    processes[0].terminate()
    assert [process.wait(60) for process in processes] == [143, 143], first.log + second.log
    assert list(first.prefix.glob("checkpoints/store/tmp/*/state/checkpoints/checkpoint-*/rng_state_1.pth"))
    again, other = trained_by("again", TWO, **LONG)
    (first.prefix / "checkpoints").rename(again.prefix / "checkpoints")
    assert run_all([again, other]) == [0, 0], again.log + other.log
    assert min(int(step) for step in re.findall(r"train:step=(\d+)", again.log)) > 7
    assert again.stages["trainer"]["key"] == one.stages["trainer"]["key"]
    assert again.digest == one.digest
    assert history(again) == history(one)
    assert not list((other.prefix / "model").glob("*"))
    assert not (other.prefix / "checkpoints").exists()
