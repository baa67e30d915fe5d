"""`embedrun delete`: remove what was deployed."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import Command, Deployer, Endpoint
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
    for file in files:
        written = json.loads(file.read_text("utf-8"))
        endpoint = Endpoint.model_validate(written["endpoint"])
        registry = Registry(sorted((file.parents[2] / "plugins").glob("*/*.py")))
        Deployer.model_validate(written["deployer"], context=registry.validation_context()).delete(endpoint)
        file.rename(file.with_name("deleted.json"))
        print(f"deleted {endpoint.deployer} {endpoint.url or endpoint.path or ''}")
    return 0


DELETE = Command("delete", "Delete what a run, or all runs of a recipe, deployed.", configure, run)
