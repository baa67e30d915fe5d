"""`embedrun show`: what a run did and left."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import RunRecord, UserError
from embedrun_plugins.cli.arguments import runs
from embedrun_plugins.cli.console import say
from embedrun_plugins.cli.export import FORMS, export_flag
from embedrun_plugins.cli.score_tables import report, short
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.plain_console import summary


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print run.json")
    form.add_argument("--export", choices=FORMS, help="print what it trains on, as JSON lines for FlagEmbedding")
    parser.add_argument("--to", type=Path, metavar="FILE", help="with --export: write a new file instead")
    runs(parser)


def run(arguments: Namespace) -> int:
    if arguments.to and not arguments.export:
        raise UserError("--to: names the file of an export; add --export flag")
    record = RunRecord.read(find_run(arguments.run, arguments.runs))
    if arguments.export:
        _export(record, arguments.to)
    elif arguments.json:
        print(json.dumps(record.dump(), indent=1))
    else:
        _show(record)
    return 0


def _show(record: RunRecord) -> None:
    say(f"{record.folder}: {record.status}{': ' + record.error if record.error else ''}")
    say("\n".join(summary(stage) for stage in record.stages()))
    say(report(record))
    if model := record.artifact(record.last_model):
        say(f"model: {short(model)}")


def _export(record: RunRecord, file: Path | None) -> None:
    without = export_flag(record, file)
    if without:
        told = f"warning: questions without negatives: {without}; FlagEmbedding fails on them"
        print(f"{told}, unless its train_group_size is 1", file=sys.stderr)
