"""`embedrun run`: carry out a recipe."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import Command, UserError
from embedrun.console import Console
from embedrun.running import carry_out
from embedrun_plugins import console as consoles
from embedrun_plugins.commands.arguments import device, planned, settings_of
from embedrun_plugins.commands.reading import loaded
from embedrun_plugins.commands.showing import last_model, report, short


def configure(parser: ArgumentParser) -> None:
    planned(parser)
    parser.add_argument("--device", type=device, metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument("--on", metavar="RUNTIME", help="where to run; short for --set runtime.type=RUNTIME")
    help_rehearse = "try every stage on a handful of rows first, on the CPU, touching nothing outside"
    parser.add_argument("--rehearse", action="store_true", help=help_rehearse)
    help_record = "go on with a run that a runtime began, all but its deployers (runtimes call this)"
    parser.add_argument("--record", type=Path, metavar="FOLDER", help=help_record)


def run(arguments: Namespace) -> int:
    console = consoles.console()
    if arguments.rehearse:
        return _rehearse(arguments, console)
    record, stopped = carry_out(loaded(arguments), settings_of(arguments), console)
    if arguments.record:  # whoever began the run tells how it ended
        return stopped.exit_code if stopped else 0
    if not arguments.json and record.scores:
        print(report(record))
    if stopped:
        console.say(str(stopped))
    console.say(f"run: {short(record.folder)}")
    if (record.folder / "report.html").exists():
        console.say(f"report: {short(record.folder)}/report.html")
    if record.artifact(last_model(record)):
        console.say(f"serve its model: embedrun serve {short(record.folder)}")
    if arguments.json:
        stages = [{"slot": s.slot, "key": s.key, "cached": s.cached, "seconds": s.seconds} for s in record.stages()]
        done = {"run": str(record.folder), "status": record.data["status"], "error": record.data.get("error")}
        print(json.dumps({**done, "stages": stages, "scores": record.scores}))
    return stopped.exit_code if stopped else 0


def _rehearse(arguments: Namespace, console: Console) -> int:
    from embedrun_plugins.rehearsal import showing
    from embedrun_plugins.rehearsal.running import rehearse

    if arguments.record:
        raise UserError("--record: goes on with a run, and --rehearse makes none; give one of them")
    recipe = loaded(arguments)
    console.say(f"rehearsing {short(recipe.path)} {showing.SAID}")
    outcome = rehearse(recipe, console, until=arguments.until)
    print(showing.as_json(outcome) if arguments.json else showing.as_text(outcome))
    return showing.exit_code(outcome)


RUN = Command("run", "Run a recipe.", configure, run)
