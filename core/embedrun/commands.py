"""`embedrun run`, and what commands share; loaded only when one runs."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

from embedrun import console as consoles
from embedrun.cli import settings_of
from embedrun.errors import UserError
from embedrun.record import RunRecord
from embedrun.running import Loaded, carry_out


def run(arguments: Namespace) -> int:
    console = consoles.console()
    record, stopped = carry_out(loaded(arguments), settings_of(arguments), console)
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


def loaded(arguments: Namespace) -> Loaded:
    """Read the recipe that a command line names, with its changes."""
    overrides = dict(_pair(text) for text in arguments.settings)
    if getattr(arguments, "on", None):
        overrides["runtime.type"] = arguments.on
    return Loaded.read(arguments.recipe, overrides)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: must be KEY=VALUE, for example trainer.epochs=1")
    return key.strip(), value


def report(record: RunRecord) -> str:
    """Return the tables of a run's scores."""
    data = record.data
    parts = []
    for name, scores in record.scores.items():
        metrics = list(next(iter(scores.values())))
        shown = [m for m in data.get("headlines", {}).get(name, metrics) if m in metrics]
        rows = data.get("comparisons", {}).get(name, [])
        parts.append(f"\n{name}\n{consoles.comparison_table(scores, rows, shown)}\n")
    return "".join(parts).strip("\n")


def last_model(record: RunRecord) -> str:
    """Return the slot of the last model that a run made, or nothing."""
    made = [stage.slot for stage in record.stages() if stage.slot in ("trainer", "merge") and not stage.error]
    return made[-1] if made else ""


def short(path: Path) -> Path:
    """Return a path from here, where it is below here."""
    return path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path
