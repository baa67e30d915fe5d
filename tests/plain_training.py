"""A run in a training job, but without torch: what is tested with it are the calls to AWS alone.

The job's machine only leaves what the same run made here before.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plain_deployment
from embedrun.cli import main
from embedrun_plugins.services import aws
from embedrun_plugins.stages.runtimes.sagemaker_job import training_job

if TYPE_CHECKING:
    import pytest

    from loopback_aws import LoopbackAws

QUESTIONS = 2
"""How often a job is asked for before it ends."""
IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/embedrun:mine"
RECIPE = f"""
name: plain
model: model
plugins: [fakes.py]
source: {{type: fake}}
loss: fake
trainer: {{type: fake}}
evaluator: fake
runtime: {{type: sagemaker, instance_type: ml.m5.xlarge, image: "{IMAGE}"}}
"""


def prepare(project: Any) -> tuple[str, ...]:
    """Write the recipe into a project; return what a machine runs that leaves what its job would make."""
    project.write("model/config.json", "{}")
    project.write("plain.yaml", RECIPE)
    folder = project.folder / "prepared"
    done = project.run(*("plain.yaml", "--set", "runtime=null", "--store", folder / "store", "--runs", folder / "runs"))
    assert done.code == 0, done.err
    (run,) = folder.glob("runs/plain/*")
    run.rename(folder / "run")
    for rest in (folder / "runs", folder / "store" / "tmp", folder / "store" / "runs"):
        shutil.rmtree(rest)
    output = '"$SM_PREFIX/output/data"'
    return "sh", "-c", f"mkdir -p {output} && cp -R {shlex.quote(str(folder))}/. {output}", "machine"


def lend(account: LoopbackAws, monkeypatch: pytest.MonkeyPatch, folder: Path) -> LoopbackAws:
    """Make an account that of one test, whose calls take no longer than they must."""
    account.use(monkeypatch, folder)
    for (place, name), value in plain_deployment.HURRIED.items():
        monkeypatch.setattr(place, name, value)
    monkeypatch.setattr(training_job, "PATIENCE", 0.0)
    aws.client.cache_clear()  # type: ignore[attr-defined]
    account.front.failing = account.front.passed = lambda *_: None
    account.trainings.questions = QUESTIONS
    account.trainings.jobs.clear()
    return account


def run(folder: Path, store: str, environment: Mapping[str, str]) -> None:
    """Run the recipe in a process of its own, and end it; what it says goes into said.txt."""
    os.chdir(folder)
    os.environ.update(environment)
    plain_deployment.hurry()
    sys.stdout = sys.stderr = (folder / "said.txt").open("a", encoding="utf-8")
    sys.exit(main(["plain.yaml", "--store", store]))
