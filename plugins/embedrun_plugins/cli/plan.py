"""`embedrun plan`: what a recipe would run and reuse, and what that takes."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from embedrun import RetrievalSet
from embedrun.store import Store
from embedrun_plugins.cli import console
from embedrun_plugins.cli.arguments import loaded, planned, settings_of


def configure(parser: ArgumentParser) -> None:
    planned(parser)


def run(arguments: Namespace) -> int:
    settings = settings_of(arguments)
    recipe = loaded(arguments)
    recipe.require()
    plan = recipe.plan(settings)
    sets: dict[str, RetrievalSet] = {}
    rows: list[dict[str, Any]] = []
    for step, known in zip(plan.steps, plan.forecast(Store(settings.store_folder)), strict=True):
        stored = known.stored
        if stored and (stored.out / "corpus.jsonl").exists():
            sets[step.slot] = RetrievalSet(stored.out)
        status = "cached" if stored else "to run"
        takes = {} if stored or step.compares else step.forecast(sets.get(step.needs.get("data", "")))
        rows.append({"slot": step.slot, "type": step.stage.type, "key": known.key, "status": status, "forecast": takes})
    if arguments.json:
        print(json.dumps({"model": plan.base.choice.model_dump(mode="json"), "stages": rows}))
        return 0
    shown = [[r["slot"], r["type"], r["status"], ", ".join(f"{k} {v}" for k, v in r["forecast"].items())] for r in rows]
    console.say(console.table(["stage", "type", "status", ""], shown, left=True))
    return 0
