"""A sweep's trials as plain text and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from embedrun_plugins.cli.console import table
from embedrun_plugins.results.phrases import duration
from embedrun_plugins.results.sweep_trials import OPTIMISTIC, SweepResults, SweepTrial


def tables(results: SweepResults) -> str:
    """Return the trials, what mattered, and how the best compares with the shipped setting on dev."""
    keys = list(results.tries)
    header = ["trial", f"{results.metric or 'score'} on dev", "against shipped", *keys, "time", ""]
    parts = [table(header, [_row(results, trial, keys) for trial in results.trials])]
    if results.importances:
        rows = [[key, f"{share:.0%}"] for key, share in results.importances.items()]
        parts.append(table(["what mattered", "share"], rows))
    parts.append("\n".join(_sentences(results)))
    return "\n\n".join(parts)


def shown(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _row(results: SweepResults, trial: SweepTrial, keys: list[str]) -> list[str]:
    score = "-" if trial.score is None else f"{trial.score:.4f}"
    gain = results.gain(trial) if trial.state == "done" else None
    state = "best" if trial == results.best else trial.state if trial.state != "done" else ""
    name = "0 (shipped)" if trial.number == 0 else str(trial.number)
    values = [shown(trial.values.get(key)) for key in keys]
    seconds = "" if trial.seconds is None else f"{trial.seconds:.0f} s"
    return [name, score, "" if gain is None or trial.number == 0 else f"{gain:+.4f}", *values, seconds, state]


def _sentences(results: SweepResults) -> Iterator[str]:
    best = results.best
    if best is None:
        yield "no trial is done yet"
        return
    gain = results.gain(best)
    if best.number == 0:
        yield f"best on dev: the shipped setting, {results.metric} {best.score:.4f}; no other trial beat it"
    else:
        against = "" if gain is None else f", {gain:+.4f} against the shipped setting"
        yield f"best on dev: trial {best.number}, {results.metric} {best.score:.4f}{against}"
    of_budget = f" of {duration(results.budget)}" if results.budget else ""
    yield f"time: {duration(results.spent)}{of_budget}"
    yield OPTIMISTIC


def as_json(results: SweepResults) -> dict[str, Any]:
    trials = [
        {"number": t.number, "state": t.state, "values": dict(t.values), "score": t.score, "run": t.run or None}
        for t in results.trials
    ]
    best = results.best
    return {
        "sweep": str(results.folder),
        "metric": results.metric,
        "trials": trials,
        "best": best.number if best else None,
        "importances": dict(results.importances),
        "seconds": round(results.spent, 1),
    }
