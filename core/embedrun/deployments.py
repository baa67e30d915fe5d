"""The run that a deployment belongs to: `ctx.out` is RUNS/NAME/TIME/deployments/DEPLOYER/out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from embedrun.artifacts import Endpoint
from embedrun.context import Context

_ABOVE = 3
"""Folders between a deployment's `out` and its run's folder, that one included."""


def run_folder(ctx: Context) -> Path | None:
    """Return the folder of the run, or None where a deployer runs outside any."""
    parents = ctx.out.absolute().parents
    folder = parents[_ABOVE - 1] if len(parents) >= _ABOVE else None
    return folder if folder and (folder / "run.json").is_file() else None


def run_id(ctx: Context) -> str | None:
    """Return what tells the run from every other: NAME/TIME."""
    folder = run_folder(ctx)
    return f"{folder.parent.name}/{folder.name}" if folder else None


def earlier_endpoints(ctx: Context, deployer: str) -> Iterator[tuple[str, Endpoint]]:
    """Yield what other runs of the same recipe deployed by one kind of deployer and still have, with their ids."""
    own = run_folder(ctx)
    for file in sorted(own.parent.glob("*/deployments/*/endpoint.json")) if own else ():
        folder = file.parents[2]
        try:
            endpoint = Endpoint.model_validate(json.loads(file.read_text("utf-8"))["endpoint"])
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a damaged record of another run is no reason to stop this one
        if folder != own and endpoint.deployer == deployer:
            yield f"{folder.parent.name}/{folder.name}", endpoint
