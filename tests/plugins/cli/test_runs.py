"""The list of runs, and what agents are told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

RECIPE = """
name: {name}
model: model
plugins: [fakes.py]
source: fake
loss: fake
trainer: {{type: fake}}
evaluator: fake
"""


def write(project, name: str) -> None:
    project.write("model/config.json", "{}")
    project.write(f"{name}.yaml", RECIPE.format(name=name))


def test_runs_are_listed_newest_first_with_scores_and_verdict(project):
    for name in ("first", "second"):
        write(project, name)
        assert project.run(f"{name}.yaml", "--offline").code == 0
    listed = project.run("runs")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert lines[0].split()[:4] == ["run", "started", "status", "model"]
    assert {line.split("/")[0] for line in lines[1:]} == {"first", "second"}
    assert all("done" in line and "tuned" in line and "+0.3000" in line for line in lines[1:])
    only = project.run("runs", "first", "--json")
    [overview] = [json.loads(line) for line in only.out.splitlines()]
    assert overview["status"] == "done"
    assert overview["role"] == "tuned"
    metric = overview["headlines"][0]
    best = project.run("runs", "--sort", metric)
    assert best.out.splitlines()[0].split()[4] == metric
    assert "did you mean" in project.run("runs", "--sort", metric[:-1]).err
    assert "did you mean 'first'" in project.run("runs", "first1").err
    assert project.run("runs", "--runs", "nowhere").code == 2


def test_a_damaged_run_is_left_out(project):
    write(project, "good")
    project.run("good.yaml", "--offline")
    project.write("runs/bad/2026-01-01T00-00-00Z/run.json", "{")
    assert "bad" not in project.run("runs").out


def test_a_run_that_was_killed_is_not_called_running(project):
    write(project, "slow")
    words = [sys.executable, "-m", "embedrun", "slow.yaml", "--offline", "--set", "trainer.epochs=400"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(words, cwd=project.folder, stdout=quiet, stderr=quiet, env={**os.environ})
    try:
        deadline = time.monotonic() + 60
        while not list(project.folder.glob("runs/.store/tmp/*/state/steps.json")) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert " running " in project.run("runs").out
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert " killed " in project.run("runs").out


def test_what_an_agent_should_know_is_printed_and_written(project):
    printed = project.run("skill")
    assert printed.out.startswith("---\nname: embedrun\n")
    assert project.run("skill", "--write", "skills").code == 0
    assert (project.folder / "skills/embedrun/SKILL.md").read_text("utf-8") == printed.out
    assert project.run("skill", "--write", "skills").code == 2
