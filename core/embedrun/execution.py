"""Running a recipe, from the command line or from Python."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun import recipe_file, rules, steps
from embedrun.artifacts import Model
from embedrun.console import Console
from embedrun.context import Resolver
from embedrun.errors import INTERRUPTED, EmbedrunError, Problem, StageError, UserError
from embedrun.file_digests import FileDigests
from embedrun.job import Job
from embedrun.names import of_plugins
from embedrun.plan import Plan
from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import Deployer, Runtime
from embedrun.store import Store
from embedrun.yamlfile import YamlFile

if TYPE_CHECKING:
    from embedrun.record import RunRecord


@dataclass(frozen=True)
class Settings:
    """Where a run reads and writes, beside what the recipe says."""

    runs: Path = Path("runs")
    store: Path | None = None
    offline: bool = False
    until: str | None = None
    device: str | None = None
    record: Path | None = None
    """Folder of a run that a runtime began elsewhere and that is carried out here, except its deployers."""

    @property
    def store_folder(self) -> Path:
        return (self.store or Path(os.environ.get("EMBEDRUN_STORE") or self.runs / ".store")).resolve()


@dataclass(frozen=True)
class Loaded:
    """A recipe that was read and found valid, ready to be planned."""

    path: Path
    recipe: Recipe
    registry: Registry
    document: YamlFile
    written: str

    @classmethod
    def read(cls, name: str | Path, overrides: Mapping[str, Any] | None = None) -> Loaded:
        path = of_plugins("shipped_recipes").find_recipe(str(name))
        recipe, registry, document = recipe_file.load(path, overrides)
        comments = [f"\n# --set {key}={' '.join(str(text).splitlines())}" for key, text in (overrides or {}).items()]
        written = path.read_text("utf-8-sig") + "".join(comments) + ("\n" if comments else "")
        return cls(path, recipe, registry, document, written)

    def require(self) -> None:
        """Raise RecipeError where a package or a file that a stage needs is not here."""
        if problems := list(rules.missing(self.recipe)):
            raise self.document.error(problems)

    def require_usable(self, deployers: Sequence[Deployer], model: Model | None) -> None:
        """Raise RecipeError where a plugin or a deployer refuses the model; one that is not here is refused by none."""
        if model is None:
            return
        faults = [Problem(("model",), why) for why in self.registry.model_faults(model)]
        embedders = ((n, stage) for n, stage in enumerate(deployers) if stage.deploys == "embedder")
        refused = (Problem(("deployer", n), why) for n, stage in embedders for why in stage.refuses(model))
        if problems := faults or list(refused):
            raise self.document.error(problems)

    def plan(self, settings: Settings) -> Plan:
        """Fix what floats and lay out the steps. Raises RecipeError where the model cannot be found or served."""
        files, models = FileDigests(settings.store_folder / "files.json"), of_plugins("base_models")
        try:
            copies = self.registry.local_models()
            base = models.find(self.recipe.model, copies, files, folder=self.path.parent, offline=settings.offline)
        except UserError as error:
            raise self.document.error([Problem(("model",), str(error))]) from error
        recipe = steps.resolved(self.recipe, Resolver(settings.offline))
        self.require_usable(recipe.deployer, models.on_disk(base))
        return steps.make_plan(recipe, base, self.registry.owner, files, settings.until)


def run(
    recipe: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    console: Console | None = None,
) -> RunRecord:
    """Run a recipe, on its runtime, and return its record: `.scores`, `.stages()`, `.folder`.

    Raises UserError where the recipe or its data must change, StageError where a stage fails.
    """
    record, stopped = execute(Loaded.read(recipe, overrides), settings or Settings(), console or Console())
    if stopped:
        raise stopped
    return record


def execute(loaded: Loaded, settings: Settings, console: Console) -> tuple[RunRecord, EmbedrunError | None]:
    """Run a recipe on its runtime; return its record, and what stopped it where something did.

    Raises KeyboardInterrupt where the run was interrupted, here or elsewhere.
    """
    loaded.require()
    plan, store = loaded.plan(settings), Store(settings.store_folder)
    execution = Execution(loaded, plan, store, _record(loaded, plan, settings).folder, settings, console)
    runtime = plan.recipe.runtime
    judged_or_trained = plan.recipe.trainer or plan.recipe.evaluator
    if settings.record or runtime is None or not judged_or_trained or not execution.job().left():
        execution.here()
    else:
        execution.elsewhere(runtime)
    return execution.record, execution.stopped


def _record(loaded: Loaded, plan: Plan, settings: Settings) -> RunRecord:
    """Begin a run's record, or go on with the one that a runtime began elsewhere."""
    from embedrun.record import RunRecord

    if settings.record:
        record = RunRecord.read(settings.record)
        record.change(environment={**of_plugins("machine").describe(), "git": record.environment.get("git")})
        return record
    owners = {stage.type: str(plan.owner_of(stage)) for _, stage in plan.recipe.stages()}
    plugins = [loaded.path.parent / name for name in plan.recipe.plugins]
    return RunRecord.begin(settings.runs, plan.recipe.dump(), loaded.written, settings.store_folder, owners, plugins)


@dataclass
class Execution:
    """A planned run, executed here or by a runtime."""

    loaded: Loaded
    plan: Plan
    store: Store
    folder: Path
    settings: Settings
    console: Console
    stopped: EmbedrunError | None = None
    ran_here: bool = False

    @property
    def record(self) -> RunRecord:
        """The record as it is on disk, whoever wrote it."""
        from embedrun.record import RunRecord

        return RunRecord.read(self.folder)

    def here(self) -> int:
        from embedrun.engine import Engine

        self.ran_here = True
        device, offline, hooks = self.settings.device, self.settings.offline, self.loaded.registry.hooks
        try:
            Engine(self.plan, self.store, self.record, self.console, hooks, device, offline).run()
        except EmbedrunError as error:
            self.stopped = error
            return error.exit_code
        return 0

    def elsewhere(self, runtime: Runtime) -> None:
        try:
            with self.record.lent():
                code = runtime.run(self.job())
                if not self.ran_here:  # only this machine deploys, and deletes what its records say
                    shutil.rmtree(self.folder / "deployments", ignore_errors=True)
        except EmbedrunError as error:
            self.stopped, code = error, error.exit_code
        except KeyboardInterrupt:
            self._close("interrupted", None)
            raise
        except Exception as error:
            self._close("failed", f"{type(error).__name__}: {error}")
            raise
        if code == INTERRUPTED:
            self._close("interrupted", None)
        self._close("failed", f"runtime: ended with exit code {code} before the run was done")
        record = self.record
        if record.status == "interrupted" and not self.stopped:
            raise KeyboardInterrupt
        if record.status != "done":
            kind = UserError if code == UserError.exit_code else StageError
            self.stopped = self.stopped or kind(record.error)
        elif {step.slot for step in self.plan.steps} > {stage.slot for stage in record.stages()}:
            self.here()

    def _close(self, status: str, error: str | None) -> None:
        """End a record that nobody else will."""
        record = self.record
        if record.status == "running":
            record.end(status, 0.0, str(self.stopped or error or "") or None)

    def job(self) -> Job:
        """Return what a runtime is given to run."""
        plan, settings = self.plan, self.settings
        inputs = [path.resolve() for _, stage in plan.recipe.stages() for path in stage.inputs()]
        inputs += [plan.base.path.resolve()] if plan.base.path else []
        until = [step.slot for step in plan.steps if step.cached][-1] if settings.until else None
        return Job(
            here=self.here,
            forecast=lambda: [step for step in plan.forecast(self.store) if step.kind != Deployer.kind],
            digest=lambda copies, image: plan.digest(inputs, copies, until, image),
            recipe=plan.recipe.dump(),
            stages=plan.moved,
            base=plan.base,
            copies=self.loaded.registry.local_models(),
            inputs=inputs,
            store=self.store,
            run_folder=self.folder.resolve(),
            console=self.console,
            until=until,
            device=settings.device,
            offline=settings.offline,
        )
