"""`embedrun show`: what a run did and left."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from embedrun import Command, RunRecord
from embedrun import console as consoles
from embedrun.cli import runs
from embedrun.record import find_run
from embedrun_plugins.commands.showing import last_model, report, short


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    parser.add_argument("--json", action="store_true", help="print run.json")
    runs(parser)


def run(arguments: Namespace) -> int:
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    if arguments.json:
        print(json.dumps(record.data, indent=1))
        return 0
    data = record.data
    print(f"{record.folder}: {data['status']}{': ' + data['error'] if data.get('error') else ''}")
    print("\n".join(consoles.summary(stage) for stage in record.stages()))
    print(report(record))
    if model := record.artifact(last_model(record)):
        print(f"model: {short(model)}")
    return 0


SHOW = Command("show", "Show a run: its stages, its scores, its model.", configure, run)
