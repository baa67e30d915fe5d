"""The hooks that a plugin can implement."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from embedrun.artifacts import Model
    from embedrun.errors import Problem
    from embedrun.finished import Finished
    from embedrun.record import RunRecord
    from embedrun.stage import Stage

hookspec = pluggy.HookspecMarker("embedrun")
hookimpl = pluggy.HookimplMarker("embedrun")
"""Marks a function of a plugin as the implementation of the hook it is named after."""


@dataclass(frozen=True)
class LocalModel:
    """A copy of a hub model that a package brings along, so that no hub is needed."""

    id: str
    """The hub's id, for example "sentence-transformers/all-MiniLM-L6-v2"."""
    path: Path
    """Folder of the copy."""
    sha256: str
    """Digest that `model.safetensors` must have."""


@dataclass(frozen=True)
class Command:
    """A command of the command line: `embedrun NAME`."""

    name: str
    summary: str
    configure: Callable[[ArgumentParser], None]
    """Adds the command's arguments."""
    run: Callable[[Namespace], int]
    """Does the work and returns the exit code; raises EmbedrunError for what should be explained."""

    @classmethod
    def of_module(cls, name: str, summary: str, module: str) -> Command:
        """Make a command of a module's functions `configure` and `run`; it is imported when the command is chosen."""
        return cls(
            name,
            summary,
            lambda parser: import_module(module).configure(parser),
            lambda arguments: int(import_module(module).run(arguments)),
        )


@dataclass(frozen=True)
class StageReference:
    """A stage that is imported when a recipe names it."""

    kind: str
    """The recipe's key, for example "loss"."""
    type: str
    target: str
    """Module and class, as in "package.module:Class"."""


@hookspec
def embedrun_stages() -> Sequence[type[Stage] | StageReference]:  # type: ignore[empty-body]
    """Return the stages that this plugin brings, as classes or by reference. Called when the registry is made."""


@hookspec
def embedrun_models() -> Sequence[LocalModel]:  # type: ignore[empty-body]
    """Return local copies of hub models. Called when a recipe names a model by its id."""


@hookspec
def embedrun_model_faults(model: Model) -> Sequence[str]:  # type: ignore[empty-body]
    """Say why no recipe can start from a model, as far as its files tell.

    Called when a recipe is checked and planned, where the files are here, and once they were fetched; so without
    loading anything heavy. What a user should know of the model, but need not change, goes to a logger as a warning.
    """


@hookspec
def embedrun_recipe_faults(recipe: Any) -> Sequence[Problem]:  # type: ignore[empty-body]
    """Say which stages of a `Recipe` do not fit together, once each is valid by itself; load nothing heavy."""


@hookspec
def embedrun_commands() -> Sequence[Command]:  # type: ignore[empty-body]
    """Return commands to add to the command line. Called whenever it starts, so import in `configure` and `run`."""


@hookspec
def embedrun_usual_names() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Return keys, as in "trainer.epochs", by what other tools call them; several with spaces between.

    Called when a recipe has an unknown key.
    """


@hookspec(firstresult=True)
def embedrun_problems(  # type: ignore[empty-body]
    error: ValidationError,
    data: dict[str, Any],
    class_at: Callable[[tuple[str | int, ...]], type[BaseModel]],
    usual_names: Mapping[str, str],
) -> Sequence[Problem]:
    """Put what pydantic finds wrong with a recipe's data into words, or mend the data in place and return nothing.

    `class_at` returns the class of what stands at a path, `usual_names` is what `embedrun_usual_names` returned.
    """


@hookspec
def embedrun_run_started(run: RunRecord) -> None:
    """Observe a run's start, after its plan is made and before its first stage."""


@hookspec
def embedrun_stage_finished(run: RunRecord, stage: Finished) -> None:
    """Observe a stage's end, be it run, reused or failed."""


@hookspec
def embedrun_event(run: RunRecord, name: str, values: Mapping[str, Any]) -> None:
    """Observe what a stage reports while it runs, such as a training's loss; it is in the run's log already."""


@hookspec
def embedrun_run_finished(run: RunRecord) -> None:
    """Observe a run's end, also after a failure or an interruption."""
