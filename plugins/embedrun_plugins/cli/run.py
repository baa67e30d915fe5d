"""`embedrun run`: carry out a recipe."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import UserError
from embedrun.console import Console
from embedrun.execution import execute
from embedrun_plugins.cli import console as terminal
from embedrun_plugins.cli.arguments import device, loaded, planned, settings_of
from embedrun_plugins.cli.console import say
from embedrun_plugins.cli.score_tables import report, short


def configure(parser: ArgumentParser) -> None:
    planned(parser)
    parser.add_argument("--device", type=device, metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument("--on", metavar="RUNTIME", help="where to run; short for --set runtime.type=RUNTIME")
    help_rehearse = "try every stage on a handful of rows first, on the CPU, touching nothing outside this machine"
    parser.add_argument("--rehearse", action="store_true", help=help_rehearse)
    help_record = "continue a run that a runtime began, without its deployers (runtimes call this)"
    parser.add_argument("--record", type=Path, metavar="FOLDER", help=help_record)


def run(arguments: Namespace) -> int:
    console = terminal.console()
    if arguments.rehearse:
        return _rehearse(arguments, console)
    record, stopped = execute(loaded(arguments), settings_of(arguments), console)
    if arguments.record:  # whoever began the run tells how it ended
        return stopped.exit_code if stopped else 0
    if not arguments.json and (tables := report(record)):
        say(tables)
    if stopped:
        console.say(str(stopped))
    console.say(f"run: {short(record.folder)}")
    if (record.folder / "report.html").exists():
        console.say(f"report: {short(record.folder)}/report.html")
    if record.artifact(record.last_model):
        console.say(f"serve its model: embedrun serve {short(record.folder)}")
    if arguments.json:
        stages = [{"slot": s.slot, "key": s.key, "cached": s.cached, "seconds": s.seconds} for s in record.stages()]
        done = {"run": str(record.folder), "status": record.status, "error": record.error}
        print(json.dumps({**done, "stages": stages, "scores": record.scores, "comparisons": record.comparisons}))
    return stopped.exit_code if stopped else 0


def _rehearse(arguments: Namespace, console: Console) -> int:
    from embedrun_plugins.cli.rehearsal import output
    from embedrun_plugins.cli.rehearsal.run import rehearse

    if arguments.record:
        raise UserError("--record: cannot be used together with --rehearse, which makes no run")
    recipe = loaded(arguments)
    console.say(f"rehearsing {short(recipe.path)} {output.SAID}")
    outcome = rehearse(recipe, console, until=arguments.until)
    say(output.as_json(outcome) if arguments.json else output.as_text(outcome))
    return output.exit_code(outcome)
