"""What SageMaker gives a training container: files below one folder, by its contract.

Source: "How Amazon SageMaker AI Provides Training Information" and its neighbours in SageMaker's developer guide.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from embedrun.errors import UserError

PREFIX = Path("/opt/ml")
FAILURE_LENGTH = 1024
"""Characters that SageMaker reads of the failure file."""
OWN = ("recipe", "until", "offline", "device", "nproc_per_node")
"""Hyperparameters that are no keys of the recipe."""
_OF_SAGEMAKER = "sagemaker_"


class Resources(BaseModel):
    """`resourceconfig.json`: the machines of this job."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    current_host: str
    hosts: tuple[str, ...] = Field(min_length=1)
    network_interface_name: str | None = None
    num_gpus: int | None = Field(None, ge=0)

    @property
    def sorted_hosts(self) -> list[str]:
        return sorted(self.hosts)

    @property
    def rank(self) -> int:
        return self.sorted_hosts.index(self.current_host)

    @property
    def first(self) -> str:
        return self.sorted_hosts[0]


@dataclass(frozen=True)
class Container:
    """The folders of one training container."""

    prefix: Path = PREFIX

    @property
    def config(self) -> Path:
        return self.prefix / "input" / "config"

    @property
    def data(self) -> Path:
        """Holds a folder for each channel."""
        return self.prefix / "input" / "data"

    @property
    def model(self) -> Path:
        """What SageMaker packs as model.tar.gz."""
        return self.prefix / "model"

    @property
    def output(self) -> Path:
        """What SageMaker packs as output.tar.gz."""
        return self.prefix / "output" / "data"

    @property
    def run(self) -> Path:
        """The run's folder."""
        return self.output / "run"

    @property
    def failure(self) -> Path:
        return self.prefix / "output" / "failure"

    @property
    def store(self) -> Path:
        """Results and what training goes on from; SageMaker copies it to S3 while it changes, if the job says so."""
        return self.prefix / "checkpoints" / "store"

    def fail(self, reason: str) -> None:
        """Leave the reason where SageMaker looks for it; `DescribeTrainingJob` shows it as FailureReason."""
        self.failure.parent.mkdir(parents=True, exist_ok=True)
        self.failure.write_text(reason.strip()[:FAILURE_LENGTH], "utf-8")


@dataclass(frozen=True)
class JobConfiguration:
    """What the job asks of this container."""

    resources: Resources
    hyperparameters: Mapping[str, str]
    channels: Mapping[str, Path]
    """Folder of each channel."""

    @classmethod
    def read(cls, container: Container) -> JobConfiguration:
        """Read the container's configuration. Raises UserError where it is not there, or not as SageMaker writes it."""
        resources = _resources(container.config / "resourceconfig.json")
        hyperparameters = _mapping(container.config / "hyperparameters.json")
        channels = {name: container.data / name for name in _mapping(container.config / "inputdataconfig.json")}
        for name, folder in channels.items():
            if not folder.is_dir():
                raise UserError(
                    f"channel '{name}': {folder} is not there; this container reads channels in File or FastFile mode"
                )
        return cls(resources, {name: _plain(value) for name, value in hyperparameters.items()}, channels)

    @property
    def overrides(self) -> dict[str, str]:
        """Values of the recipe that the hyperparameters change, as `--set` would."""
        return {
            name: value
            for name, value in self.hyperparameters.items()
            if name not in OWN and not name.startswith(_OF_SAGEMAKER)
        }

    @property
    def offline(self) -> bool:
        return self.hyperparameters.get("offline", "false").lower() in ("true", "1", "yes")

    @property
    def processes(self) -> int:
        """Training processes on each machine: as asked for, or one for each GPU. Raises UserError where it is none."""
        wanted = self.hyperparameters.get("nproc_per_node")
        if wanted is None:
            return max(1, self.resources.num_gpus if self.resources.num_gpus is not None else _gpus())
        if not wanted.isascii() or not wanted.isdecimal() or int(wanted) < 1:
            raise UserError(f"hyperparameter nproc_per_node: '{wanted}' is not a number of processes; give 1 or more")
        return int(wanted)


def bug(error: Exception) -> str:
    """Return the reason of a failure that is nobody's mistake but ours."""
    shown = "".join(traceback.format_exception(error))
    return f"{type(error).__name__}: {error} (please report this)\n{shown[-600:]}"


def _resources(file: Path) -> Resources:
    content = _mapping(file)
    try:
        resources = Resources.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UserError(f"{file}: {key}: {problem['msg'].lower()}; SageMaker writes this file") from error
    if resources.current_host not in resources.hosts:
        hosts = ", ".join(resources.sorted_hosts)
        raise UserError(f"{file}: current_host '{resources.current_host}' is none of the hosts: {hosts}")
    return resources


def _mapping(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{file}: no such file; this command runs in a SageMaker training container") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{file}: must be a JSON object")
    return content


def _plain(value: Any) -> str:
    """Return a hyperparameter's text; SageMaker's Python SDK puts texts into JSON quotes."""
    text = value if isinstance(value, str) else json.dumps(value)
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            inner = json.loads(text)
        except ValueError:
            return text
        return inner if isinstance(inner, str) else text
    return text


def _gpus() -> int:
    import torch

    return torch.cuda.device_count()
