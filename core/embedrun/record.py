"""The record of a run: what was asked for, what happened, and where the results are."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from embedrun.errors import UserError, suggest
from embedrun.finished import Finished
from embedrun.recipe import Recipe
from embedrun.yamlfile import near

_PACKAGES = ("embedrun", "torch", "sentence-transformers", "transformers", "datasets", "accelerate", "numpy", "pluggy")


class RunRecord:
    """A run's folder: `recipe.yaml` as written, `recipe.lock.json`, `run.json` and `log.jsonl`."""

    def __init__(self, folder: Path, data: dict[str, Any]) -> None:
        self.folder = folder
        self.data = data

    @classmethod
    def begin(
        cls,
        runs: Path,
        recipe: Recipe,
        written: str,
        store: Path,
        owners: Mapping[str, str],
        plugin_files: Iterable[Path],
    ) -> RunRecord:
        """Make the run's folder, with copies of its local plugins. Raises UserError where it cannot be written."""
        started = datetime.now(UTC)
        folder = _new_folder(runs / recipe.name, started.strftime("%Y-%m-%dT%H-%M-%SZ"))
        data = {
            "name": recipe.name,
            "started": started.isoformat(timespec="seconds"),
            "status": "running",
            "store": os.path.relpath(store.resolve(), folder.resolve()),
            "seed": recipe.seed,
            "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
            "environment": environment(),
            "plugins": dict(owners),
            "stages": [],
            "scores": {},
        }
        record = cls(folder, data)
        (folder / "recipe.yaml").write_text(written, "utf-8")
        locked = recipe.dump()
        locked["plugins"] = [_keep(file, folder / "plugins" / str(n)) for n, file in enumerate(plugin_files)]
        lock = {"lock": {"schema": 1, "recipe": locked}}
        (folder / "recipe.lock.json").write_text(json.dumps(lock, indent=1, ensure_ascii=False) + "\n", "utf-8")
        record.save()
        return record

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read a run's folder. Raises UserError where there is no run."""
        try:
            data = json.loads((folder / "run.json").read_text("utf-8"))
            return cls(folder, {"stages": data["stages"], "store": data["store"], **data})
        except FileNotFoundError as error:
            raise UserError(f"{folder}: no run here (no run.json){near(folder)}") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{folder}/run.json: is damaged ({error}); remove this run's folder") from error

    @property
    def store(self) -> Path:
        return (self.folder / str(self.data["store"])).resolve()

    @property
    def scores(self) -> dict[str, dict[str, dict[str, float]]]:
        """Metrics by evaluator and role: `scores["information_retrieval"]["tuned"]["ndcg@10"]`."""
        return dict(self.data["scores"])

    def results(self) -> set[str]:
        """Return the keys of all results that the run made, reused or was making when it was killed."""
        return {stage.key for stage in self.stages() if stage.key} | {self.data.get("making") or ""}

    def artifact(self, slot: str) -> Path | None:
        """Return the folder of what a stage made, if the run has such a stage and the store still holds it."""
        for stage in self.stages():
            if stage.slot == slot and stage.key and not stage.error:
                folder = self.store / stage.key[:2] / stage.key / "out"
                return folder if folder.is_dir() else None
        return None

    @property
    def last_model(self) -> str:
        """Slot of the last model that the run made; empty where it made none."""
        models = [stage.slot for stage in self.stages() if stage.slot in ("trainer", "merge") and not stage.error]
        return models[-1] if models else ""

    def stages(self) -> Iterator[Finished]:
        for stage in self.data["stages"]:
            yield Finished(**{**stage, "warnings": tuple(stage["warnings"])})

    def add(self, finished: Finished) -> None:
        self.data["stages"].append(asdict(finished))
        self.log("stage", **asdict(finished))
        self.save()

    def end(self, status: str, seconds: float, error: str | None = None) -> None:
        """Close the run as "done", "failed" or "interrupted"."""
        self.data.update(status=status, seconds=round(seconds, 3), error=error)
        self.log("end", status=status, error=error)
        self.save()

    def log(self, event: str, **values: Any) -> None:
        line = {"time": round(time.time(), 3), "event": event, **values}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")

    def save(self) -> None:
        scratch = self.folder / ".run.json"
        scratch.write_text(json.dumps(self.data, indent=1, ensure_ascii=False) + "\n", "utf-8")
        scratch.replace(self.folder / "run.json")


def _keep(file: Path, folder: Path) -> str:
    folder.mkdir(parents=True)
    shutil.copy(file, folder / file.name)
    return (folder / file.name).relative_to(folder.parents[1]).as_posix()


def _new_folder(parent: Path, name: str) -> Path:
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    except OSError as error:
        raise UserError(f"{parent}: cannot be written: {error.strerror}; choose another folder with --runs") from error
    raise UserError(f"{parent}: too many runs in one second")


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
            return max(finished, key=lambda path: ((path / "recipe.lock.json").stat().st_mtime_ns, path.name))
    known = [path.name for path in runs.glob("*") if path.is_dir() and not path.name.startswith(".")]
    raise UserError(f"{name}: no run here, and no run of that name in {runs}{suggest(name, known)}")


def environment() -> dict[str, Any]:
    """Describe what a result may depend on: versions, hardware and the state of the code."""
    versions = {}
    for package in _PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": versions,
        "git": _git_state(),
    }


def _git_state() -> dict[str, Any] | None:
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603  # no shell, fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    lines = shown.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}
