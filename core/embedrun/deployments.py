"""What a run deployed: RUN/deployments/NAME/endpoint.json, where NAME is the deployer's in the recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun import plain_files
from embedrun.artifacts import Endpoint

if TYPE_CHECKING:
    from embedrun.stages import Deployer

ENDPOINT = "endpoint.json"
FOLDER = "deployments"


def folder(run: Path, name: str) -> Path:
    return run / FOLDER / name


def files(run: Path) -> list[Path]:
    """Return the descriptions of what a run deployed and did not delete since, in the order of the names."""
    return sorted(run.glob(f"{FOLDER}/*/{ENDPOINT}"))


def write(folder: Path, deployer: Deployer, endpoint: Endpoint) -> Path:
    """Describe a deployment in its folder, with all that is needed to delete it."""
    described = {"endpoint": endpoint.model_dump(mode="json"), "deployer": deployer.model_dump(mode="json")}
    plain_files.write_json(folder / ENDPOINT, described)
    return folder / ENDPOINT


def read(file: Path) -> Endpoint:
    """Return what was deployed. Raises OSError, ValueError, KeyError or TypeError where its description is damaged."""
    return Endpoint.model_validate(json.loads(plain_files.read_text(file))["endpoint"])


def delete(file: Path) -> None:
    """Mark what is described as deleted; the description is kept."""
    file.rename(file.with_name("deleted.json"))
