"""`embedrun plan`: what a recipe would run and reuse, and what that takes."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from typing import Any

from embedrun import Filter, RetrievalSet
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
    likely: dict[str, RetrievalSet] = {}
    rows: list[dict[str, Any]] = []
    for step, known in zip(plan.steps, plan.forecast(Store(settings.store_folder)), strict=True):
        stored = known.stored
        if stored and (stored.out / "corpus.jsonl").exists():
            sets[step.slot] = RetrievalSet(stored.out)
        status = "cached" if stored else "to run"
        data = step.needs.get("data", "")
        takes = {} if stored or step.compares else step.forecast(sets.get(data))
        if not stored and data in sets and (likely_set := getattr(step.stage, "likely_set", None)):
            likely[step.slot] = likely_set(sets[data])
        elif not stored and isinstance(step.stage, Filter) and data in likely:
            likely[step.slot] = likely[data]
            takes = {name: _at_most(value) for name, value in step.forecast(likely[data]).items()}
        rows.append({"slot": step.slot, "type": step.stage.type, "key": known.key, "status": status, "forecast": takes})
    if arguments.json:
        print(json.dumps({"model": plan.base.choice.model_dump(mode="json"), "stages": rows}))
        return 0

    shown = [[r["slot"], r["type"], r["status"], ", ".join(f"{k} {v}" for k, v in r["forecast"].items())] for r in rows]
    console.say(console.table(["stage", "type", "status", ""], shown, left=True))
    return 0


def _at_most(value: object) -> object:
    """Mark what rests on the questions that are asked for, since some are not usable or filtered out before."""
    return f"at most {value:,}" if isinstance(value, int) else str(value).replace("about", "at most about")
