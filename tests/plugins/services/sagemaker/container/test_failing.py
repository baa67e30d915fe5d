"""A job that fails says why, in SageMaker's file; one that a client began goes on in that client's record."""

from __future__ import annotations

import json
import os
import shutil
import signal

import psutil
import pytest

from embedrun.hashing import file_digest, folder_files


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"source__fail": "data"}, "source (fake): pairs.csv:3: the score is NaN; give a number"),
        ({"source__fail": "bug"}, "source (fake) failed: ZeroDivisionError: division by zero"),
        ({"trainer__epochz": "3"}, "trainer.epochz: unknown key; did you mean 'epochs'?"),
        ({"evaluator__least": "0.99"}, "the recipe's requirements do not hold"),
        ({"until": "miner"}, "--until miner: this recipe has no such stage"),
        ({"trainer__kill_at": "1"}, "the run was killed, most likely because the instance's memory was full"),
    ],
)
def test_a_failure_is_explained_in_the_file_that_sagemaker_shows(given, reason, faked):
    machine = faked(**given)
    assert machine.run() == 1
    assert reason in machine.failure
    assert len(machine.failure) <= 1024
    assert "Traceback" not in machine.log
    assert not list((machine.prefix / "model").glob("*"))


def test_no_secret_of_the_environment_is_left(faked, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "planted-secret")
    machine = faked(source__fail="bug")
    assert machine.run() == 1
    left = [name for name, path in folder_files(machine.prefix).items() if b"planted-secret" in path.read_bytes()]
    assert left == []


def test_a_run_that_a_client_began_goes_on_in_its_record_and_its_results_are_the_clients_keys(faked, project):
    """As the runtime `sagemaker` sends it: record, lock, moved inputs, the store's entries."""
    (project.folder / "extra.txt").write_text("from here", "utf-8")
    (project.folder / "model").mkdir()
    (project.folder / "model/config.json").write_text("{}", "utf-8")
    recipe = "plugins: fakes.py\nmodel: ./model\nsource: {type: fake, file: extra.txt}\nloss: fake\ntrainer: fake\n"
    project.write("mine.yaml", recipe)
    assert project.run("mine.yaml", "--until", "source").code == 0
    (begun,) = (project.folder / "runs/mine").iterdir()
    (entry,) = (project.folder / "runs/.store").glob("??/*")
    machine = faked(until="source")
    channel = machine.prefix / "input/data/recipe"
    shutil.rmtree(channel)
    shutil.copytree(begun, channel)
    started = json.loads((channel / "run.json").read_text("utf-8"))
    (channel / "run.json").write_text(json.dumps({**started, "status": "running", "stages": []}), "utf-8")
    inputs = machine.channel("inputs")
    (inputs / "0").mkdir()
    (project.folder / "extra.txt").rename(inputs / "0/extra.txt")
    (project.folder / "model").rename(inputs / "1")
    places = {project.folder / "extra.txt": "0/extra.txt", project.folder / "model": "1"}
    (inputs / "inputs.json").write_text(json.dumps({str(key): value for key, value in places.items()}), "utf-8")
    assert machine.run() == 0, machine.log
    assert machine.stages["source"]["key"] == entry.name
    made = machine.prefix / "output/data/store" / entry.name[:2] / entry.name / "out/extra.txt"
    assert file_digest(made) == file_digest(entry / "out/extra.txt")
    record = json.loads((machine.prefix / "output/data/run/run.json").read_text("utf-8"))
    assert (record["name"], record["started"]) == ("mine", started["started"])
    again = faked("again", until="source")
    shutil.rmtree(again.prefix / "input")
    shutil.copytree(machine.prefix / "input", again.prefix / "input")
    shutil.copytree(entry, again.channel("store") / entry.name[:2] / entry.name)
    assert again.run() == 0, again.log
    assert again.stages["source"]["cached"]
    assert not list((again.prefix / "output/data/store").rglob("manifest.json"))


def test_a_stop_outside_training_is_no_failure_and_leaves_nothing_running(faked):
    machine = faked(trainer__wait="30")
    process = machine.waits_in("trainer (fake)")
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143, machine.log
    assert not (machine.prefix / "output/failure").exists()
    assert json.loads((machine.prefix / "output/data/run/run.json").read_text("utf-8"))["status"] == "interrupted"
    assert not any(child.is_running() for child in children)


def test_a_killed_container_leaves_nothing_running(faked):
    machine = faked(trainer__wait="30")
    process = machine.waits_in("trainer (fake)")
    children = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    gone, alive = psutil.wait_procs(children, 10)
    assert gone
    assert not alive
