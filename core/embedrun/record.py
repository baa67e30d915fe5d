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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from embedrun.errors import UserError, suggest
from embedrun.finished import Finished
from embedrun.installed import installed_version
from embedrun.store import Store
from embedrun.yamlfile import near

_PACKAGES = ("embedrun", "torch", "sentence-transformers", "transformers", "datasets", "accelerate", "numpy", "pluggy")
LOCK = "recipe.lock.json"
_HERE = ("store", "started", "command", "plugins", "name", "image", "job")
"""What a run's record says of this machine, wherever the run was carried out."""


_T = TypeVar("_T")


class _Fact(Generic[_T]):
    """What run.json says under the attribute's name, or else a default."""

    def __init__(self, default: _T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, record: RunRecord, owner: type) -> _T:
        value: _T | None = record.dump().get(self.name)
        return self.default if value is None else value


class RunRecord:
    """A run's folder: `recipe.yaml` as written, `recipe.lock.json`, `run.json` and `log.jsonl`.

    What is there can be read; `change` alone changes run.json.
    """

    name = _Fact("")
    started = _Fact("")
    """When it began, in UTC (ISO 8601)."""
    status = _Fact("")
    """running, done, failed or interrupted."""
    error = _Fact[str | None](None)
    seconds = _Fact(0.0)
    seed = _Fact[int | None](None)
    device = _Fact[str | None](None)
    """torch device that was asked for."""
    command = _Fact[Sequence[str]](())
    environment = _Fact[Mapping[str, Any]]({})
    plugins = _Fact[Mapping[str, str]]({})
    """Who brings each stage, by its type."""
    scores = _Fact[Mapping[str, Mapping[str, Mapping[str, float]]]]({})
    """Metrics by evaluator and role: `scores["information_retrieval"]["tuned"]["ndcg@10"]`."""
    headlines = _Fact[Mapping[str, Sequence[str]]]({})
    """The metrics that tables show, by evaluator."""
    comparisons = _Fact[Mapping[str, Sequence[Mapping[str, Any]]]]({})
    """Rows of `Comparison`, by evaluator."""
    unmet = _Fact[Sequence[str]](())
    """The recipe's limits that do not hold."""
    making = _Fact[str | None](None)
    """Key of the result that is being made, or was when the run was killed."""
    image = _Fact[Mapping[str, str | None]]({})
    """Image of the container that it ran in: {reference, id, digest}."""
    job = _Fact[Mapping[str, str]]({})
    """The training job that it ran in: {name, region, account}."""

    def __init__(self, folder: Path, facts: Mapping[str, Any]) -> None:
        self.folder = folder
        self._facts = dict(facts)

    @classmethod
    def begin(
        cls,
        runs: Path,
        recipe: Mapping[str, Any],
        written: str,
        store: Path,
        owners: Mapping[str, str],
        plugin_files: Iterable[Path],
    ) -> RunRecord:
        """Make the run's folder, with copies of its local plugins. Raises UserError where it cannot be written."""
        started = datetime.now(UTC)
        folder = _new_folder(runs / recipe["name"], started.strftime("%Y-%m-%dT%H-%M-%SZ"))
        (folder / "recipe.yaml").write_text(written, "utf-8")
        plugins = []
        for index, file in enumerate(plugin_files):
            plugins.append(f"plugins/{index}/{file.name}")
            (folder / "plugins" / str(index)).mkdir(parents=True)
            shutil.copy(file, folder / plugins[-1])
        lock = {"lock": {"schema": 1, "recipe": {**recipe, "plugins": plugins}}}
        (folder / LOCK).write_text(json.dumps(lock, indent=1, ensure_ascii=False) + "\n", "utf-8")
        record = cls(folder, {})
        record.change(
            name=recipe["name"],
            started=started.isoformat(timespec="seconds"),
            status="running",
            store=os.path.relpath(store.resolve(), folder.resolve()),
            seed=recipe["seed"],
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            environment=environment(),
            plugins=dict(owners),
            stages=[],
            scores={},
        )
        return record

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read a run's folder. Raises UserError where there is no run."""
        try:
            facts = json.loads((folder / "run.json").read_text("utf-8"))
            return cls(folder, {"stages": facts["stages"], "store": facts["store"], **facts})
        except FileNotFoundError as error:
            raise UserError(f"{folder}: no run here (no run.json){near(folder)}") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{folder}/run.json: is damaged ({error}); remove this run's folder") from error

    def dump(self) -> Mapping[str, Any]:
        """Return all that run.json says."""
        return self._facts

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe as JSON, from the lock: every default written out, everything that floats fixed."""
        return dict(json.loads((self.folder / LOCK).read_text("utf-8"))["lock"]["recipe"])

    @property
    def store(self) -> Path:
        return (self.folder / str(self._facts["store"])).resolve()

    @property
    def last_model(self) -> str | None:
        """The slot of the last model that the run made, if it made one."""
        slots = [stage.slot for stage in self.stages() if stage.slot in ("trainer", "merge") and not stage.error]
        return slots[-1] if slots else None

    def results(self) -> set[str]:
        """Return the keys of all results that the run made, reused or was making when it was killed."""
        return {stage.key for stage in self.stages() if stage.key} | {self.making or ""}

    def artifact(self, slot: str | None) -> Path | None:
        """Return the folder of what a stage made, if the run has such a stage and the store still holds it."""
        for stage in self.stages():
            if stage.slot == slot and stage.key and not stage.error:
                folder = Store(self.store).out(stage.key)
                return folder if folder.is_dir() else None
        return None

    def stages(self) -> Iterator[Finished]:
        for stage in self._facts["stages"]:
            yield Finished(**{**stage, "warnings": tuple(stage["warnings"])})

    def add(self, finished: Finished) -> None:
        self.log("stage", **asdict(finished))
        self.change(stages=[*self._facts["stages"], asdict(finished)])

    def end(self, status: str, seconds: float, error: str | None = None) -> None:
        """Close the run as "done", "failed" or "interrupted"."""
        self.log("end", status=status, error=error)
        self.change(status=status, seconds=round(seconds, 3), error=error)

    def take_over(self, other: RunRecord) -> None:
        """Say how the run went elsewhere, with what is this machine's as it was."""
        self.change(**{name: value for name, value in other.dump().items() if name not in _HERE})

    def change(self, **facts: Any) -> None:
        """Change what run.json says, in memory and, by one rename, on disk."""
        self._facts.update(facts)
        scratch = self.folder / ".run.json"
        scratch.write_text(json.dumps(self._facts, indent=1, ensure_ascii=False) + "\n", "utf-8")
        scratch.replace(self.folder / "run.json")

    def log(self, event: str, **values: Any) -> None:
        line = {"time": round(time.time(), 3), "event": event, **values}
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, ensure_ascii=False, default=str) + "\n")


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
    names = [path.name for path in runs.glob("*") if path.is_dir() and not path.name.startswith(".")]
    raise UserError(f"{name}: no run here, and no run of that name in {runs}{suggest(name, names)}")


def environment() -> dict[str, Any]:
    """Describe what a result may depend on: versions, hardware and the state of the code."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "packages": {name: version for name in _PACKAGES if (version := installed_version(name))},
        "git": _git_state(),
    }


def _git_state() -> dict[str, Any] | None:
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603  # no shell, fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    lines = status.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}
