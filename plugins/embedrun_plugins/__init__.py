"""The built-in stages and commands, entered by the same entry point as anyone's; each is imported when it is named."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from embedrun import Command, LocalModel, StageReference, hookimpl
from embedrun_plugins.cli import COMMANDS
from embedrun_plugins.stages import STAGES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import BaseModel, ValidationError

    from embedrun import Model, RunRecord
    from embedrun.errors import Problem
    from embedrun.recipe import Recipe


@hookimpl
def embedrun_stages() -> tuple[StageReference, ...]:
    return STAGES


@hookimpl
def embedrun_usual_names() -> dict[str, str]:
    from embedrun_plugins.cli import usual_names

    return usual_names.table()


@hookimpl
def embedrun_problems(
    error: ValidationError,
    data: dict[str, Any],
    class_at: Callable[[tuple[str | int, ...]], type[BaseModel]],
    usual_names: Mapping[str, str],
) -> list[Problem]:
    from embedrun_plugins.cli import wrong_values

    return wrong_values.problems_of(error, data, class_at, usual_names)


@hookimpl
def embedrun_run_started(run: RunRecord) -> None:
    from embedrun_plugins.models import cores
    from embedrun_plugins.results.reproduce import environments
    from embedrun_plugins.stages.trainers import determinism

    cores.fit_threads()
    environments.write_down(run)
    determinism.prepare(run)


@hookimpl
def embedrun_run_finished(run: RunRecord) -> None:
    from embedrun_plugins.results.report import report

    report.write(run)


@hookimpl
def embedrun_models() -> list[LocalModel]:
    from embedrun_plugins.models import local_copies

    return local_copies.installed()


@hookimpl
def embedrun_model_faults(model: Model) -> list[str]:
    from embedrun_plugins.models import model_faults

    return model_faults.faults(model)


@hookimpl
def embedrun_recipe_faults(recipe: Recipe) -> list[Problem]:
    from embedrun_plugins.stages import rules

    return list(rules.problems(recipe))


@hookimpl
def embedrun_commands() -> tuple[Command, ...]:
    return COMMANDS
