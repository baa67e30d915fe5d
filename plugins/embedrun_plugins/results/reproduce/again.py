"""A run's lock, carried out again in a fresh store."""

from __future__ import annotations

import contextlib
import glob
import json
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from filelock import FileLock, Timeout

from embedrun.console import Console
from embedrun.errors import RecipeError, UserError
from embedrun.execution import Loaded, Settings, execute
from embedrun.file_digests import FileDigests
from embedrun.finished import Finished
from embedrun.model_settings import BaseModelRef
from embedrun.plan import Step
from embedrun.record import RunRecord
from embedrun.steps import make_plan
from embedrun.store import Store

_ANSWERS = "answers.sqlite"
_GOING, _LOCK = ".going", ".lock"
"""Files in a repetition's folder: there while it goes on; locked for as long as its process lives."""


@dataclass(frozen=True)
class Conditions:
    """How a run is carried out again, where not as it was."""

    on: str | None = None
    """Type of the runtime."""
    settings: Mapping[str, Any] | None = None
    """Values of the recipe to change, such as a path that has changed."""
    device: str | None = None
    offline: bool = False


@dataclass(frozen=True)
class Repetition:
    """A run, and the same run again."""

    then: RunRecord
    now: RunRecord
    steps: Mapping[str, Step]
    """The steps of the lock by slot, with files as they are now."""


@dataclass
class Room:
    """A folder beside a run, for its repetition; removed unless it is to be kept."""

    path: Path
    kept: bool = False


@contextlib.contextmanager
def room(run: Path) -> Iterator[Room]:
    """Make a folder beside a run's, on the same disk, and remove those that a killed process left there.

    Raises UserError where it cannot be made.
    """
    _clear(run.resolve())
    folder = Room(_new_folder(run.resolve()))
    going, lock = folder.path / _GOING, folder.path / _LOCK
    try:
        with FileLock(lock):
            going.touch()
            yield folder
            going.unlink()
    finally:
        lock.unlink(missing_ok=True)
        if not folder.kept:
            shutil.rmtree(folder.path, ignore_errors=True)


def _clear(run: Path) -> None:
    """Remove the repetitions of a run that were going on when their process was killed."""
    for going in run.parent.glob(f"{glob.escape(run.name)}-again*/{_GOING}"):
        with contextlib.suppress(Timeout, OSError), FileLock(going.with_name(_LOCK), timeout=0):
            if going.exists():
                shutil.rmtree(going.parent, ignore_errors=True)


def _new_folder(run: Path) -> Path:
    for attempt in range(1, 1000):
        folder = run.with_name(f"{run.name}-again{'' if attempt == 1 else f'-{attempt}'}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written: {error.strerror}; copy the run's folder to where it can"
            ) from error
        return folder
    raise UserError(f"{run.parent}: too many repetitions are kept there; remove some")


def repeat(run: RunRecord, folder: Path, conditions: Conditions, console: Console) -> Repetition:
    """Carry out a run's lock again below a folder, all but its deployers, as far as the run itself came.

    Raises UserError where nothing of the run can be compared, or what it needs is not here; EmbedrunError where it
    cannot be carried out for a reason that is no stage's.
    """
    done = compared(run)
    if not done:
        raise UserError(f"{run.folder}: {run.status} before its first stage was done; nothing to reproduce")
    store = Store(folder / ".store")
    loaded = _loaded(run, conditions)
    base, files = BaseModelRef(loaded.recipe.model, ""), FileDigests(folder / "files.json")
    plan = make_plan(loaded.recipe, base, loaded.registry.owner, files, None)
    settings = Settings(
        runs=folder,
        store=store.root,
        offline=conditions.offline,
        until=next((step.slot for step in reversed(plan.steps) if step.slot in done), None),
        device=conditions.device or run.device,
    )
    _copy_answers(Store(run.store).answers, store.answers)
    with _explained(run):
        now, stopped = execute(loaded, settings, console)
    ended = {stage.slot for stage in now.stages()}
    # A stage that fails is a difference; what fails outside of any stage says nothing of the run.
    if stopped and not any(stage.error for stage in now.stages()) and not ended.issuperset(done):
        raise stopped
    return Repetition(run, now, {step.slot: step for step in plan.steps})


def compared(run: RunRecord) -> dict[str, Finished]:
    """Return the stages of a run that left something, by slot, in order."""
    return {stage.slot: stage for stage in run.stages() if stage.digest and not stage.error}


def _loaded(run: RunRecord, conditions: Conditions) -> Loaded:
    lock = run.folder / "recipe.lock.json"
    if not lock.is_file():
        raise UserError(f"{lock}: is not there, and without it a run cannot be reproduced")
    with _explained(run):
        recipe = _recipe(lock)
        overrides: dict[str, Any] = {"runtime": runtime(recipe, run.image, conditions.on)}
        if recipe.get("trainer") or recipe.get("evaluator"):
            overrides["deployer"] = []
        return Loaded.read(lock, {**overrides, **(conditions.settings or {})})


def _recipe(lock: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(lock.read_text("utf-8"))["lock"]["recipe"])
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(f"{lock}: is damaged ({error}), and without it a run cannot be reproduced") from error


@contextlib.contextmanager
def _explained(run: RunRecord) -> Iterator[None]:
    try:
        yield
    except RecipeError as error:
        hint = "if a file has moved, name it: --set source.path=…"
        raise UserError(f"{run.folder}: cannot be run again:\n{error}\n{hint}") from error


def runtime(recipe: Mapping[str, Any], image: Mapping[str, Any] | None, on: str | None) -> dict[str, Any] | None:
    """Return the runtime to use: the one asked for, else the container that the run was made in, else none.

    A runtime that may cost money is not used unless it is asked for.
    """
    before: Mapping[str, Any] = recipe.get("runtime") or {}
    chosen = on or ("docker" if image and before.get("type") == "docker" else "local")
    if chosen == "local":
        return None
    now: dict[str, Any] = dict(before) if before.get("type") == chosen else {"type": chosen}
    if image and ("image" in now or chosen == "docker"):
        now["image"] = image.get("digest") or image.get("id") or image.get("reference")
    return now


def _copy_answers(kept: Path, to: Path) -> None:
    """Copy what services answered, so that none is asked, or paid, again; another run may be writing meanwhile."""
    if not kept.is_dir():
        return
    shutil.copytree(kept, to, ignore=shutil.ignore_patterns(f"{_ANSWERS}*", "*.lock"))
    file = kept / _ANSWERS
    if file.is_file():
        source = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
        target = sqlite3.connect(to / _ANSWERS)
        with contextlib.closing(source), contextlib.closing(target):
            try:
                source.backup(target)
            except sqlite3.Error as error:
                raise UserError(f"{file}: cannot be read: {error}") from error
