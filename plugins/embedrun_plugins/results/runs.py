"""The runs that a word on the command line means."""

from __future__ import annotations

from pathlib import Path

from embedrun.errors import UserError, suggest

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
