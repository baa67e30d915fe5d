"""Carrying a rehearsal out: the real engine over the changed recipe, in a scratch folder."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun import deployments, rules, steps
from embedrun.console import Console
from embedrun.context import Resolver
from embedrun.engine import Engine
from embedrun.errors import EmbedrunError, Problem, UserError
from embedrun.execution import Loaded
from embedrun.file_digests import FileDigests
from embedrun.finished import Finished
from embedrun.plan import Plan, Step
from embedrun.record import RunRecord
from embedrun.rehearsal import Note
from embedrun.store import Store
from embedrun_plugins.cli.check import require_usable
from embedrun_plugins.cli.rehearsal.no_network import quiet
from embedrun_plugins.cli.rehearsal.rehearsed_recipe import RehearsedRecipe, rehearsed
from embedrun_plugins.models.base_models import find


@dataclass
class Outcome:
    """What came of a rehearsal."""

    steps: tuple[Step, ...] = ()
    finished: dict[str, Finished] = field(default_factory=dict)
    notes: dict[str, list[Note]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    """Slots of stages that may not be run here, with their types."""
    error: EmbedrunError | None = None
    seconds: float = 0.0
    kept: Path | None = None
    """The scratch folder, where something failed."""


def rehearse(loaded: Loaded, console: Console, *, until: str | None = None) -> Outcome:
    """Run a recipe's stages on a handful of rows, on the CPU, touching nothing outside.

    Runs in a folder of its own, which is kept only where a stage fails. Raises UserError where the recipe cannot be
    begun at all: a missing package, a file that is not here (a source's data aside), a stage that refuses.
    """
    _require(loaded)
    started = time.monotonic()
    scratch, outcome = _scratch(), Outcome()
    try:
        with quiet():
            changed = rehearsed(loaded, scratch)
            outcome.notes = changed.notes
            outcome.left_out = {slot: stage.type for slot, stage in changed.left_out.items()}
            _execute(loaded, changed, scratch, console, outcome, until)
    finally:
        outcome.seconds = round(time.monotonic() - started, 1)
        if outcome.error:
            outcome.kept = scratch
        else:
            shutil.rmtree(scratch, ignore_errors=True)
    return outcome


def _scratch() -> Path:
    try:
        return Path(tempfile.mkdtemp(prefix="embedrun-rehearsal-"))
    except OSError as error:
        raise UserError(f"no scratch folder can be made: {error.strerror}; set TMPDIR to another folder") from error


def _require(loaded: Loaded) -> None:
    """Raise RecipeError where a package or file is missing; data that is not here is made up instead."""
    problems = [problem for problem in rules.missing(loaded.recipe) if problem.path != ("source", "path")]
    if problems:
        raise loaded.document.error(problems)
    require_usable(loaded)


def _execute(
    loaded: Loaded, changed: RehearsedRecipe, scratch: Path, console: Console, outcome: Outcome, until: str | None
) -> None:
    files, store = FileDigests(scratch / "files.json"), Store(scratch / "store")
    try:
        copies = loaded.registry.local_models()
        base = find(changed.recipe.model, copies, files, folder=loaded.path.parent, offline=True)
    except UserError as error:
        raise loaded.document.error([Problem(("model",), str(error))]) from error
    recipe = steps.resolved(changed.recipe, Resolver(offline=True))
    plan = steps.make_plan(recipe, base, loaded.registry.owner, files, until)
    outcome.steps = plan.steps
    owners = {stage.type: str(plan.owner_of(stage)) for _, stage in recipe.stages()}
    plugins = [loaded.path.parent / name for name in recipe.plugins]
    record = RunRecord.begin(scratch / "runs", recipe.dump(), loaded.written, store.root, owners, plugins)
    engine = _Rehearsal(plan, store, record, console, loaded.registry.hooks, device="cpu", offline=True)
    try:
        with _deleted(plan, record.folder):
            engine.run()
            _report(record, console)
    except EmbedrunError as error:
        outcome.error = error
    finally:
        outcome.finished = {stage.slot: stage for stage in record.stages()}


class _Rehearsal(Engine):
    """An engine that tells no observer, and that fails for no limit on scores which two steps cannot reach."""

    def _observe(self, hook: str, **arguments: Any) -> None:
        """Tell nobody: an observer may post what it is told."""

    def _require(self) -> None:
        """Read the limits, so that what is wrong with them shows, but do not judge by them."""
        list(self._unmet())


@contextmanager
def _deleted(plan: Plan, run: Path) -> Iterator[None]:
    """Delete what was deployed in the end, by the deployers' own means, all of it even where one of them fails."""
    deployers = dict(steps.named(plan.recipe.deployer))
    try:
        yield
    finally:
        with ExitStack() as deletions:
            for file in deployments.files(run):
                deletions.callback(deployers[file.parent.name].delete, deployments.read(file))


def _report(record: RunRecord, console: Console) -> None:
    from embedrun_plugins.results.report import report

    try:
        report.write(RunRecord.read(record.folder))
    except Exception as error:  # noqa: BLE001  # as in a run, which is worth more than its report
        console.say(f"warning: the report cannot be written: {type(error).__name__}: {error}")
