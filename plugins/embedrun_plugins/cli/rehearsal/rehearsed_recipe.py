"""From a recipe to what is rehearsed of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun.artifacts import SPLITS
from embedrun.errors import Problem, UserError
from embedrun.execution import Loaded
from embedrun.recipe import Recipe
from embedrun.rehearsal import Note, Rehearsal
from embedrun.stage import Stage
from embedrun.stages import Deployer, Generator, Source
from embedrun.steps import named
from embedrun_plugins.cli.rehearsal.cut_source import CutSource
from embedrun_plugins.stages.rehearsal.base_models import basis, requested
from embedrun_plugins.stages.rehearsal.lenient import inner

_LEFT_OUT = "is not rehearsed: it has no method `rehearsal` that returns what to run instead"


@dataclass
class RehearsedRecipe:
    """A recipe whose stages stand in for those of the real one, and what is noted of each, by its slot."""

    recipe: Recipe
    notes: dict[str, list[Note]] = field(default_factory=dict)
    left_out: dict[str, Stage] = field(default_factory=dict)
    """Stages that may not be run here, by their slot."""


def rehearsed(loaded: Loaded, scratch: Path) -> RehearsedRecipe:
    """Replace what a rehearsal cannot or may not run.

    Raises RecipeError where the model can be none, UserError where a stage refuses.
    """
    recipe = loaded.recipe
    result = RehearsedRecipe(recipe)
    try:
        base = basis(recipe.model, loaded.registry, loaded.path.parent, scratch / "model", requested(recipe))
    except UserError as error:
        raise loaded.document.error([Problem(("model",), str(error))]) from error
    result.notes["model"] = list(base.notes)
    changes: dict[str, Any] = {"model": base.choice, "runtime": None}
    for key in type(recipe).model_fields:
        value = getattr(recipe, key)
        if key != "runtime" and isinstance(value, Stage):
            changes[key] = next(_standing_in(result, [(key, value)], scratch), None)
        elif isinstance(value, tuple) and value and isinstance(value[0], Stage):
            changes[key] = tuple(
                _standing_in(result, [(f"{key}.{name}", stage) for name, stage in named(value)], scratch)
            )
    if recipe.runtime:
        result.notes["runtime"] = [Note(f"{recipe.runtime.type} is left out: everything is rehearsed in this process")]
    result.recipe = recipe.model_copy(update=changes)
    return result


def _standing_in(result: RehearsedRecipe, stages: Iterable[tuple[str, Stage]], scratch: Path) -> Iterator[Any]:
    """Yield what is run in place of each stage, if anything is."""
    for slot, stage in stages:
        rehearsal = Rehearsal(scratch / "stages" / re.sub(r"[^\w.-]", "-", slot))
        rehearsal.folder.mkdir(parents=True)
        if not _says_what(stage) and (isinstance(stage, Deployer) or tuple(stage.reaches())):
            instead: Stage | None = _instead(stage, rehearsal)
        elif isinstance(stage, Source) and not _says_what(stage):
            rehearsal.note("read completely, then cut to a handful of rows")
            instead = CutSource(type=stage.type, stage=stage)
        else:
            instead = rehearsal_of(stage, rehearsal)
        result.notes[slot] = rehearsal.notes or _differences(stage, instead)
        if instead is None:
            result.left_out[slot] = stage
        else:
            yield instead


def rehearsal_of(stage: Stage, rehearsal: Rehearsal) -> Stage:
    """Return a stage's own rehearsal, those of the stages inside it made first."""
    inside = {key: value for key in type(stage).model_fields if isinstance(value := getattr(stage, key), Stage)}
    for key, value in inside.items():
        inner_rehearsal = Rehearsal(rehearsal.folder / key)
        inner_rehearsal.folder.mkdir()
        inside[key] = rehearsal_of(value, inner_rehearsal)
        for note in inner_rehearsal.notes:
            rehearsal.note(f"{key}: {note.sentence}", unsure=note.unsure)
    changes = {key: value for key, value in inside.items() if value is not getattr(stage, key)}
    return (stage.model_copy(update=changes) if changes else stage).rehearsal(rehearsal)


def _says_what(stage: Stage) -> bool:
    return type(stage).rehearsal is not Stage.rehearsal


def _instead(stage: Stage, rehearsal: Rehearsal) -> Stage | None:
    """Return what takes the place of a stage that may touch the outside; None where nothing must."""
    rehearsal.note(_LEFT_OUT, unsure=True)
    match stage:
        case Source():
            from embedrun_plugins.stages.sources.columns import Columns
            from embedrun_plugins.stages.sources.pairs import few_rows

            splits = [split for split in SPLITS if split in (stage.splits_given() or SPLITS)]
            return few_rows(rehearsal, [(split, "its data", None) for split in splits], Columns(), None)
        case Generator():
            from embedrun_plugins.stages.generators.crop import Crop

            rehearsal.note("its questions are made by 'crop' instead")
            return Crop()
        case _:
            return None


def _differences(stage: Stage, instead: Stage | None) -> list[Note]:
    """Say what a stage that notes nothing itself runs with."""
    instead = instead and inner(instead)
    if instead is None or instead == stage:
        return []
    if type(instead) is not type(stage):
        return [Note(f"{type(instead).__name__} is used instead")]
    keys = [key for key in type(stage).model_fields if getattr(stage, key) != getattr(instead, key)]
    return [Note(f"other values of {', '.join(keys)}")] if keys else []
