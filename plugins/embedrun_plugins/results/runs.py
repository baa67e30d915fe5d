"""The runs of a folder: those that a word on the command line means, and what each came to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedrun.errors import UserError, suggest
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun_plugins.results import roles

_KEY = re.compile("[0-9a-f]{64}")
_TIME = len("2026-01-31T12-00-00Z")
"""A run's folder is named by its start; a second one in the same second ends in -2."""


def is_run(path: Path) -> bool:
    """Say whether a path is a run's folder, or a folder of runs."""
    return (path / "run.json").exists() or next(path.glob("*/run.json"), None) is not None


def find_run(name: str, runs: Path) -> Path:
    """Return a run's folder by its path, or the latest run of a recipe by the recipe's name.

    Raises UserError where there is none.
    """
    for candidate in (Path(name), runs / name):
        if (candidate / "run.json").exists():
            return candidate
        finished = sorted(path.parent for path in candidate.glob("*/run.json"))
        if finished:
            return max(finished, key=lambda path: (path.name[:_TIME], len(path.name), path.name))
    names = [path.name for path in runs.glob("*") if path.is_dir() and not path.name.startswith(".")]
    raise UserError(f"{name}: no run here, and no run of that name in {runs}{suggest(name, names)}")


@dataclass(frozen=True)
class Overview:
    """What one run came to, in a line."""

    id: str
    """NAME/TIME, its folder below that of the runs."""
    name: str
    started: str
    status: str
    """done, failed, interrupted, running; or killed where nothing works on it any more."""
    headlines: tuple[str, ...]
    """Metrics that its first evaluator shows, the most important first."""
    role: str | None
    """The model that its scores are of: the last that it made, or base."""
    scores: Mapping[str, float]
    difference: float | None
    """From base, by the first of the headlines."""
    verdict: str | None

    def dump(self) -> dict[str, Any]:
        return asdict(self)


def overviews(runs: Path, name: str | None) -> Iterator[Overview]:
    """Yield the runs of a folder, or those of one recipe, newest first; what is damaged is left out."""
    folders = [path.parent for path in runs.glob(f"{name or '*'}/*/run.json")]
    for folder in sorted(folders, key=lambda path: (path.name[:_TIME], len(path.name), path.name), reverse=True):
        try:
            yield _overview(RunRecord.read(folder))
        except UserError:
            continue


def _overview(record: RunRecord) -> Overview:
    evaluator, by_role = next(iter(record.scores.items()), ("", {}))
    scored = {role: metrics for role, metrics in by_role.items() if metrics}
    role = roles.last(scored) if roles.own(scored) else None
    metrics = scored[role] if role else {}
    headlines = tuple(metric for metric in record.headlines.get(evaluator, ()) if metric in metrics) or tuple(metrics)
    rows = record.comparisons.get(evaluator, ())
    wanted = (headlines[0] if headlines else "", role, "base")
    matching = (row for row in rows if (row["metric"], row["role"], row.get("against", "base")) == wanted)
    row = next(matching, {})
    identity = f"{record.folder.parent.name}/{record.folder.name}"
    started = record.started.replace("T", " ").partition("+")[0]
    return Overview(
        identity,
        record.name,
        started,
        _status(record),
        headlines,
        role,
        metrics,
        row.get("difference"),
        row.get("verdict"),
    )


def _status(record: RunRecord) -> str:
    """Say how a run ended; whether one that says it is running still is, shows in the lock of what it makes."""
    if record.status != "running" or not _KEY.fullmatch(record.making or "") or not record.store.is_dir():
        return record.status
    from filelock import Timeout

    try:
        with Store(record.store).lock(str(record.making)).acquire(timeout=0):
            return "killed"
    except Timeout:
        return "running"
    except OSError:
        return record.status
