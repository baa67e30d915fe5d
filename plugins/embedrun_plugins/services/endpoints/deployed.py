"""What a run deployed, from its record: where it answers and how it is asked."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pydantic import ValidationError

from embedrun import deployments, plain_files
from embedrun.artifacts import Endpoint
from embedrun.errors import UserError, suggest
from embedrun.record import RunRecord
from embedrun.registry import Registry
from embedrun.stages import Deployer
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.endpoints.client import RequestParameters
from embedrun_plugins.services.endpoints.transports import Transport

READING = "reading"
"""Key of an endpoint's record under which it is kept how the endpoint is asked."""


@runtime_checkable
class Answering(Protocol):
    """A deployer whose endpoints embed texts."""

    def transport(self, endpoint: Endpoint) -> Transport:
        """Return what carries requests to an endpoint that it made."""


@dataclass(frozen=True)
class Deployed:
    """One thing that a run deployed and did not delete since."""

    name: str
    """Name of its deployer in the run: its type, the second one of a type ending in `.2`."""
    endpoint: Endpoint
    deployer: Deployer

    @property
    def transport(self) -> Transport | None:
        """What carries requests to it; None where it embeds nothing, such as a repository."""
        return self.deployer.transport(self.endpoint) if isinstance(self.deployer, Answering) else None

    @property
    def reading(self) -> RequestParameters | None:
        """How it is asked; None where the record does not say."""
        written = (self.endpoint.model_extra or {}).get(READING)
        return RequestParameters.model_validate(written) if written is not None else None


def with_reading(endpoint: Endpoint, reading: RequestParameters) -> Endpoint:
    """Return the endpoint's record with how it is asked."""
    return endpoint.model_copy(update={READING: reading.model_dump(mode="json", exclude_none=True)})


def deployed(folder: Path) -> list[Deployed]:
    """Return what a run deployed, in the order of the names. Raises UserError where its record is damaged."""
    files = deployments.files(folder)
    if not files:
        return []
    registry = Registry(RunRecord(folder, {}).plugins_kept)
    return [read(file, registry) for file in files]


def read(file: Path, registry: Registry) -> Deployed:
    """Read one record of a run. Raises UserError where it is damaged."""
    try:
        written: dict[str, Any] = json.loads(plain_files.read_text(file))
        endpoint = Endpoint.model_validate(written["endpoint"])
        deployer = Deployer.model_validate(written["deployer"], context=registry.validation_context())
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise UserError(f"{file}: is damaged, or of another version ({reason})") from error
    return Deployed(file.parent.name, endpoint, deployer)


def answering(run: str | Path, runs: Path = Path("runs"), name: str | None = None) -> tuple[Transport, Deployed]:
    """Return the endpoint of a run that answers, or of its latest where `run` is a recipe's name.

    Raises UserError where there is none, or several and none is named.
    """
    folder = find_run(str(run), runs)
    endpoints = [(transport, entry) for entry in deployed(folder) if (transport := entry.transport)]
    names = [entry.name for _, entry in endpoints]
    if name is not None:
        endpoints = [(transport, entry) for transport, entry in endpoints if entry.name == name]
        if not endpoints:
            raise UserError(f"{folder}: deployed no '{name}' that answers{suggest(name, names)}")
    if len(endpoints) != 1:
        raise UserError(f"{folder}: {_which(names)}")
    return endpoints[0]


def _which(names: Sequence[str]) -> str:
    if not names:
        return "deployed nothing that answers, or it was deleted; `embedrun serve` serves its model"
    return f"deployed several endpoints; name one of them as deployer: {', '.join(names)}"
