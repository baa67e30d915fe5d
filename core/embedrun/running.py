"""Running a recipe, from the command line or from Python."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun import console as consoles
from embedrun import plan as plans
from embedrun import recipe as recipes
from embedrun.engine import Engine
from embedrun.errors import EmbedrunError, Problem, StageError, UserError
from embedrun.models import find
from embedrun.recipe import Recipe
from embedrun.record import Finished, RunRecord
from embedrun.registry import Registry
from embedrun.resources import find_recipe
from embedrun.runtimes import Job
from embedrun.stages import Resolver
from embedrun.store import FileDigests, Store
from embedrun.yamlfile import YamlFile


@dataclass(frozen=True)
class Settings:
    """Where a run reads and writes, beside what the recipe says."""

    runs: Path = Path("runs")
    store: Path | None = None
    offline: bool = False
    until: str | None = None
    device: str | None = None

    @property
    def store_folder(self) -> Path:
        return (self.store or Path(os.environ.get("EMBEDRUN_STORE") or self.runs / ".store")).resolve()


@dataclass(frozen=True)
class Result:
    """What a run left: its folder and its scores."""

    folder: Path
    record: RunRecord

    @property
    def scores(self) -> dict[str, dict[str, dict[str, float]]]:
        """Metrics by evaluator and role: `scores["information_retrieval"]["tuned"]["ndcg@10"]`."""
        return self.record.scores

    @property
    def stages(self) -> list[Finished]:
        return list(self.record.stages())


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
        path = find_recipe(str(name))
        recipe, registry, document = recipes.load(path, overrides)
        written = path.read_text("utf-8-sig")
        if overrides:
            written += "".join(f"\n# --set {key}={value}" for key, value in overrides.items()) + "\n"
        return cls(path, recipe, registry, document, written)

    def require(self) -> None:
        """Raise RecipeError where a package or a file that a stage needs is not here."""
        if problems := list(recipes.missing(self.recipe)):
            raise self.document.error(problems)

    def plan(self, settings: Settings) -> plans.Plan:
        """Fix what floats and lay out the steps. Raises RecipeError where the model cannot be found."""
        files = FileDigests(settings.store_folder / "files.json")
        try:
            base = find(self.recipe.model, self.registry, files, folder=self.path.parent, offline=settings.offline)
        except UserError as error:
            raise self.document.error([Problem(("model",), str(error))]) from error
        recipe = plans.resolved(self.recipe, Resolver(settings.offline))
        return plans.make(recipe, base, self.registry, files, until=settings.until)


def run(
    recipe: str | Path,
    overrides: Mapping[str, Any] | None = None,
    *,
    settings: Settings | None = None,
    console: consoles.Console | None = None,
) -> Result:
    """Run a recipe in this process and return its scores and its folder.

    Raises UserError where the recipe or its data must change, StageError where a stage fails.
    """
    settings = settings or Settings()
    loaded = Loaded.read(recipe, overrides)
    loaded.require()
    plan = loaded.plan(settings)
    record = _begin(loaded, plan, settings)
    _engine(plan, record, settings, console or consoles.Console()).run()
    return Result(record.folder, record)


def _begin(loaded: Loaded, plan: plans.Plan, settings: Settings) -> RunRecord:
    owners = {str(stage.type): str(plan.registry.owner(stage)) for _, stage in plan.recipe.stages()}
    files = [loaded.path.parent / name for name in plan.recipe.plugins]
    return RunRecord.begin(settings.runs, plan.recipe, loaded.written, settings.store_folder, owners, files)


def _engine(plan: plans.Plan, record: RunRecord, settings: Settings, console: consoles.Console) -> Engine:
    store = Store(settings.store_folder)
    return Engine(plan, store, record, console, device=settings.device, offline=settings.offline)


def run_job(loaded: Loaded, settings: Settings, console: consoles.Console) -> tuple[int, Result, EmbedrunError | None]:
    """Run a recipe on its runtime; return the exit code, the result, and what stopped it."""
    loaded.require()
    plan = loaded.plan(settings)
    record = _begin(loaded, plan, settings)
    stopped: list[EmbedrunError] = []

    def here() -> int:
        try:
            _engine(plan, record, settings, console).run()
        except EmbedrunError as error:
            stopped.append(error)
            return error.exit_code
        return 0

    started = time.monotonic()
    runtime = plan.recipe.runtime
    code = runtime.run(_job(here, plan, record, settings)) if runtime else here()
    record = RunRecord.read(record.folder)
    if record.data["status"] == "running":
        record.end("failed", time.monotonic() - started, "the runtime ended before the run did")
        stopped.append(StageError(f"runtime: ended with exit code {code} before the run did"))
    return code, Result(record.folder, record), stopped[0] if stopped else None


def _job(here: Any, plan: plans.Plan, record: RunRecord, settings: Settings) -> Job:
    inputs: Sequence[Path] = [path for _, stage in plan.recipe.stages() for path in stage.inputs()]
    lock = str(record.folder / "recipe.lock.json")
    arguments = ["run", lock, "--store", str(settings.store_folder), "--runs", str(settings.runs)]
    return Job(here, arguments, inputs, settings.store_folder, record.folder, {})
