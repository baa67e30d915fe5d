"""Running a recipe, from the command line or from Python."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun import console as consoles
from embedrun import plan as plans
from embedrun import recipe as recipes
from embedrun import rules
from embedrun.context import Resolver
from embedrun.engine import Engine
from embedrun.errors import EmbedrunError, Problem, StageError, UserError
from embedrun.models import find
from embedrun.recipe import Recipe
from embedrun.record import RunRecord
from embedrun.registry import Registry
from embedrun.resources import find_recipe
from embedrun.runtimes import Job
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
            written += (
                "".join(f"\n# --set {key}={' '.join(str(v).splitlines())}" for key, v in overrides.items()) + "\n"
            )
        return cls(path, recipe, registry, document, written)

    def require(self) -> None:
        """Raise RecipeError where a package or a file that a stage needs is not here."""
        if problems := list(rules.missing(self.recipe)):
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
) -> RunRecord:
    """Run a recipe, on its runtime, and return its record: `.scores`, `.stages()`, `.folder`.

    Raises UserError where the recipe or its data must change, StageError where a stage fails.
    """
    record, stopped = carry_out(Loaded.read(recipe, overrides), settings or Settings(), console or consoles.Console())
    if stopped:
        raise stopped
    return record


def carry_out(loaded: Loaded, settings: Settings, console: consoles.Console) -> tuple[RunRecord, EmbedrunError | None]:
    """Run a recipe on its runtime; return its record, and what stopped it where something did."""
    loaded.require()
    plan = loaded.plan(settings)
    owners = {stage.type: str(plan.registry.owner(stage)) for _, stage in plan.recipe.stages()}
    plugins = [loaded.path.parent / name for name in plan.recipe.plugins]
    store = settings.store_folder
    record = RunRecord.begin(settings.runs, plan.recipe, loaded.written, store, owners, plugins)
    stopped: list[EmbedrunError] = []

    def here() -> int:
        try:
            Engine(plan, Store(store), record, console, device=settings.device, offline=settings.offline).run()
        except EmbedrunError as error:
            stopped.append(error)
            return error.exit_code
        return 0

    inputs = [path for _, stage in plan.recipe.stages() for path in stage.inputs()]
    arguments = ["run", str(record.folder / "recipe.lock.json"), "--store", str(store), "--runs", str(settings.runs)]
    runtime = plan.recipe.runtime
    code = runtime.run(Job(here, arguments, inputs, store, record.folder, {})) if runtime else here()
    record = RunRecord.read(record.folder)
    if record.data["status"] == "running":
        stopped.append(StageError(f"runtime: ended with exit code {code} before the run did"))
        record.end("failed", 0.0, str(stopped[0]))
    return record, stopped[0] if stopped else None
