"""Training containers as SageMaker starts them: each a folder in place of /opt/ml, and a process."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import ports
from embedrun.hashing import file_digest
from embedrun.testing import small_set, tiny_model

FAKES = Path(__file__).parents[4] / "fakes.py"
RECIPE = """
model: ./model
source: {type: beir, path: data}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 2, batch_size: 2, learning_rate: 1e-3, logging_steps: 3}
evaluator: information_retrieval
"""
FAKE = """
plugins: fakes.py
model: ./model
source: {type: fake}
loss: fake
trainer: {type: fake}
evaluator: {type: fake}
"""


@dataclass
class Machine:
    """One container of a job."""

    prefix: Path
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    host: str = "algo-1"
    hosts: tuple[str, ...] = ("algo-1",)
    port: int = 7777

    def __post_init__(self) -> None:
        resources = {"current_host": self.host, "hosts": list(self.hosts), "network_interface_name": "lo"}
        self.configure("resourceconfig", resources)
        self.configure("hyperparameters", self.hyperparameters)
        self.configure("inputdataconfig", {})

    def configure(self, name: str, value: Any) -> None:
        file = self.prefix / "input/config" / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value), "utf-8")

    def channel(self, name: str) -> Path:
        """Add a channel, and return its folder."""
        folder = self.prefix / "input/data" / name
        folder.mkdir(parents=True)
        known = sorted(path.name for path in folder.parent.iterdir())
        self.configure("inputdataconfig", {name: {"TrainingInputMode": "File"} for name in known})
        return folder

    def start(self) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "embedrun", "sagemaker-train", "--port", str(self.port)]
        environment = {**os.environ, "SM_PREFIX": str(self.prefix)}
        log = (self.prefix / "log.txt").open("w", encoding="utf-8")
        with log:
            return subprocess.Popen(words, env=environment, stdout=log, stderr=subprocess.STDOUT, text=True)

    def waits_in(self, stage: str) -> subprocess.Popen[str]:
        """Start, and return once a stage has begun."""
        process, until = self.start(), time.monotonic() + 60
        while stage not in self.log:
            assert process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.1)
        return process

    def run(self) -> int:
        return self.start().wait(180)

    @property
    def log(self) -> str:
        return (self.prefix / "log.txt").read_text("utf-8")

    @property
    def failure(self) -> str:
        return (self.prefix / "output/failure").read_text("utf-8")

    @property
    def digest(self) -> str:
        return file_digest(self.prefix / "model/model.safetensors")

    @property
    def stages(self) -> dict[str, dict[str, Any]]:
        """How the run's stages ended, by slot."""
        record = json.loads((self.prefix / "output/data/run/run.json").read_text("utf-8"))
        return {stage["slot"]: stage for stage in record["stages"]}

    def stop_at(self, process: subprocess.Popen[str], step: int) -> None:
        """Send SIGTERM as soon as training has come so far."""
        until = time.monotonic() + 120
        while not any(int(found) >= step for found in re.findall(r"train:step=(\d+)", self.log)):
            assert process.poll() is None, self.log
            assert time.monotonic() < until, self.log
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)


@pytest.fixture(scope="session")
def material(tmp_path_factory) -> Path:
    """What the channel `recipe` holds: a recipe that trains a tiny model, its data and the model."""
    folder = tmp_path_factory.mktemp("recipe")
    small_set(folder / "data")
    tiny_model(folder / "model")
    (folder / "recipe.yaml").write_text(RECIPE, "utf-8")
    return folder


@pytest.fixture
def trained_by(tmp_path, material):
    """Make a job's machines, with the recipe in a channel."""

    def make(name: str = "one", hosts: tuple[str, ...] = ("algo-1",), **hyperparameters: Any) -> list[Machine]:
        port = ports.free(2)
        machines = [
            Machine(tmp_path / name / host, {k: str(v) for k, v in hyperparameters.items()}, host, hosts, port)
            for host in hosts
        ]
        for machine in machines:
            shutil.copytree(material, machine.channel("recipe"), dirs_exist_ok=True)
        return machines

    return make


@pytest.fixture
def faked(tmp_path):
    """Make one machine whose recipe has stages that need no torch."""

    def make(name: str = "fake", **hyperparameters: Any) -> Machine:
        machine = Machine(tmp_path / name, {key.replace("__", "."): str(v) for key, v in hyperparameters.items()})
        folder = machine.channel("recipe")
        shutil.copy(FAKES, folder / "fakes.py")
        (folder / "model").mkdir()
        (folder / "model/config.json").write_text("{}", "utf-8")
        (folder / "recipe.yaml").write_text(FAKE, "utf-8")
        return machine

    return make


@pytest.fixture
def free_port() -> int:
    return ports.free(2)
