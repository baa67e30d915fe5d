"""The record of a run: what was asked for, what happened, and where the results are."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Generic, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError

from embedrun import plain_files
from embedrun.errors import StageError, UserError
from embedrun.finished import Finished
from embedrun.names import of_plugins
from embedrun.plain_files import explained
from embedrun.store import Store
from embedrun.yamlfile import near

LOCK = "recipe.lock.json"
_HERE = ("store", "started", "command", "plugins", "name", "image", "job")
"""What a run's record says of this machine, wherever the run was carried out."""
_TOLD = ("image", "job")
"""Those of them that a runtime writes down while it runs."""


_T = TypeVar("_T")
_STAGES = TypeAdapter(list[Finished])


class _Fact(Generic[_T]):
    """What run.json says under the attribute's name, or else a default."""

    def __init__(self, default: _T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        (declared,) = get_args(getattr(self, "__orig_class__", None)) or (type(self.default),)
        return TypeAdapter(declared)

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
        with explained(f"run {folder}", "--runs"):
            plain_files.write_text(folder / "recipe.yaml", written)
            plugins = []
            for index, file in enumerate(plugin_files):
                plugins.append(f"plugins/{index}/{file.name}")
                (folder / "plugins" / str(index)).mkdir(parents=True)
                shutil.copy(file, folder / plugins[-1])
            plain_files.write_json(folder / LOCK, {"lock": {"schema": 1, "recipe": {**recipe, "plugins": plugins}}})
        record = cls(folder, {})
        record.change(
            name=recipe["name"],
            started=started.isoformat(timespec="seconds"),
            status="running",
            store=os.path.relpath(store.resolve(), folder.resolve()),
            seed=recipe["seed"],
            command=[Path(sys.argv[0]).name, *sys.argv[1:]],
            environment=of_plugins("machine").describe(),
            plugins=dict(owners),
            stages=[],
            scores={},
        )
        return record

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """Read a run's folder. Raises UserError where there is no run."""
        try:
            facts = json.loads(plain_files.read_text(folder / "run.json"))
            record = cls(folder, {"stages": facts["stages"], "store": facts["store"], **facts})
            TypeAdapter(str).validate_python(facts["store"])
            for fact in (fact for fact in vars(cls).values() if isinstance(fact, _Fact) and facts.get(fact.name)):
                fact.adapter.validate_python(facts[fact.name])
            list(record.stages())
        except FileNotFoundError as error:
            raise UserError(f"{folder}: no run here (no run.json){near(folder)}") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
            raise UserError(f"{folder}/run.json: is damaged ({reason}); remove this run's folder") from error
        return record

    def dump(self) -> Mapping[str, Any]:
        """Return all that run.json says."""
        return self._facts

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe as JSON, from the lock: every default written out, everything that floats fixed."""
        try:
            return dict(json.loads(plain_files.read_text(self.folder / LOCK))["lock"]["recipe"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise UserError(f"{self.folder / LOCK}: is damaged ({error}); remove this run's folder") from error

    @property
    def plugins_kept(self) -> list[Path]:
        """The copies of the recipe's local plugins; other code in the run's folder is never loaded."""
        names = map(PurePosixPath, map(str, self.recipe.get("plugins") or ()))
        return [self.folder / name for name in names if name.parts[:1] == ("plugins",) and ".." not in name.parts]

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
        yield from _STAGES.validate_python(self._facts["stages"])

    def add(self, finished: Finished) -> None:
        self.log("stage", **asdict(finished))
        self.change(stages=[*self._facts["stages"], asdict(finished)])

    def end(self, status: str, seconds: float, error: str | None = None) -> None:
        """Close the run as "done", "failed" or "interrupted"."""
        self.log("end", status=status, error=error)
        self.change(status=status, seconds=round(seconds, 3), error=error)

    def take_over(self, other: RunRecord, kept: Sequence[str] = _HERE) -> None:
        """Say how the run went elsewhere, with what is this machine's as it was."""
        self.change(**{name: value for name, value in other.dump().items() if name not in kept})

    @contextlib.contextmanager
    def lent(self) -> Iterator[None]:
        """Lend the folder to whatever carries the run out, and take it back with what is this machine's as it was.

        Raises StageError where anything but plain files and folders was left in it; that is removed.
        """
        files = [self.folder / "recipe.yaml", self.folder / LOCK, *self.plugins_kept]
        kept = {file: plain_files.read_text(file) for file in files}
        try:
            yield
        finally:
            strange = plain_files.strange(self.folder)
            for path in strange:
                path.unlink()
            for file, content in kept.items():
                file.parent.mkdir(parents=True, exist_ok=True)
                plain_files.write_text(file, content)
            with contextlib.suppress(UserError):
                self.take_over(RunRecord.read(self.folder), [name for name in _HERE if name not in _TOLD])
            self.change()
        if strange:
            reason = f"runtime: left {strange[0].relative_to(self.folder)} in the run's folder, which is no plain file"
            self.end("failed", self.seconds, reason)
            raise StageError(reason)

    def change(self, **facts: Any) -> None:
        """Change what run.json says, in memory and, by one rename, on disk."""
        self._facts.update(facts)
        with explained(f"run {self.folder}", "--runs"):
            plain_files.write_json(self.folder / "run.json", self._facts)

    def log(self, event: str, **values: Any) -> None:
        line = {"time": round(time.time(), 3), "event": event, **values}
        with explained(f"run {self.folder}", "--runs"):
            plain_files.append_line(self.folder / "log.jsonl", json.dumps(line, ensure_ascii=False, default=str))


def _new_folder(parent: Path, name: str) -> Path:
    with explained(f"runs {parent}", "--runs"):
        parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, 1000):
            folder = parent / (name if attempt == 1 else f"{name}-{attempt}")
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                return folder
    raise UserError(f"{parent}: too many runs in one second")
