"""`embedrun delete`: remove what was deployed."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import Command, Deployer, Endpoint, UserError
from embedrun.cli import runs as add_runs
from embedrun.record import find_run
from embedrun.registry import Registry


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for all of its runs")
    add_runs(parser)


def run(arguments: Namespace) -> int:
    folder = find_run(arguments.run, arguments.runs)
    # A recipe's name means all of its runs, a run's folder that run.
    one = any((path / "run.json").exists() for path in (Path(arguments.run), arguments.runs / arguments.run))
    runs = [folder] if one else sorted(path.parent for path in folder.parent.glob("*/run.json"))
    files = [file for run in runs for file in sorted((run / "deployments").glob("*/endpoint.json"))]
    if not files:
        print(f"{folder if one else arguments.run}: nothing deployed")
    kept = [error for file in files if (error := _delete(file))]
    for error in kept:
        print(error, file=sys.stderr)
    return UserError.exit_code if kept else 0


def _delete(file: Path) -> UserError | None:
    """Delete what an endpoint file describes; return why not, where it must stay."""
    written = json.loads(file.read_text("utf-8"))
    endpoint = Endpoint.model_validate(written["endpoint"])
    registry = Registry(sorted((file.parents[2] / "plugins").glob("*/*.py")))
    try:
        Deployer.model_validate(written["deployer"], context=registry.validation_context()).delete(endpoint)
    except UserError as error:
        return error
    file.rename(file.with_name("deleted.json"))
    print(f"deleted {endpoint.deployer} {endpoint.url or endpoint.path or ''}")
    return None


DELETE = Command("delete", "Delete what a run, or all runs of a recipe, deployed.", configure, run)
