"""From a recipe to what is rehearsed of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun.artifacts import SPLITS
from embedrun.errors import Problem, UserError
from embedrun.execution import Loaded
from embedrun.plan import named
from embedrun.recipe import Recipe
from embedrun.stages import Deployer, Embedder, Generator, Source, Stage
from embedrun_plugins.cli.rehearsal.cut_source import CutSource
from embedrun_plugins.stages.rehearsal.base_models import basis, requested
from embedrun_plugins.stages.rehearsal.lenient import inner
from embedrun_plugins.stages.rehearsal.stand_ins import Told, tell, told

_LEFT_OUT = "is not rehearsed: it does not say in its method `rehearsal` what may be run instead"


@dataclass
class Rehearsed:
    """A recipe whose stages stand in for those of the real one, and what is told of each, by its slot."""

    recipe: Recipe
    told: dict[str, list[Told]] = field(default_factory=dict)
    left_out: dict[str, Stage] = field(default_factory=dict)
    """Stages that may not be run here, by their slot."""


def rehearsed(loaded: Loaded, scratch: Path) -> Rehearsed:
    """Replace what a rehearsal cannot or may not run.

    Raises RecipeError where the model can be none, UserError where a stage refuses.
    """
    recipe = loaded.recipe
    made = Rehearsed(recipe)
    try:
        base = basis(recipe.model, loaded.registry, loaded.path.parent, scratch / "model", requested(recipe))
    except UserError as error:
        raise loaded.document.error([Problem(("model",), str(error))]) from error
    made.told["model"] = list(base.told)
    changes: dict[str, Any] = {"model": base.choice, "runtime": None}
    for key in type(recipe).model_fields:
        value = getattr(recipe, key)
        if key != "runtime" and isinstance(value, Stage):
            changes[key] = next(_standing_in(made, [(key, value)], scratch), None)
        elif isinstance(value, tuple) and value and isinstance(value[0], Stage):
            changes[key] = tuple(_standing_in(made, _slots(value), scratch))
    if recipe.runtime:
        made.told["runtime"] = [Told(f"{recipe.runtime.type} is left out: all is rehearsed in this process")]
    made.recipe = recipe.model_copy(update=changes)
    return made


def _slots(stages: Sequence[Stage]) -> Iterator[tuple[str, Stage]]:
    """Yield the stages of a list with the slots that the plan gives them."""
    for index, stage in enumerate(stages):
        if stage.kind == "filters":
            yield f"filters.{index}.{stage.type}", stage
        elif isinstance(stage, Embedder):
            yield f"compare_with.{stage.role}", stage
    if not isinstance(stages[0], Embedder) and stages[0].kind != "filters":
        yield from named(stages)


def _standing_in(made: Rehearsed, stages: Sequence[tuple[str, Stage]] | Iterator[Any], scratch: Path) -> Iterator[Any]:
    """Yield what is run in place of each stage, if anything is."""
    for slot, stage in stages:
        folder = scratch / "stages" / re.sub(r"[^\w.-]", "-", slot)
        folder.mkdir(parents=True)
        if not _says_what(stage) and (isinstance(stage, Deployer) or tuple(stage.reaches())):
            instead: Stage | None = _instead(stage, folder)
        elif isinstance(stage, Source) and not _says_what(stage):
            tell(folder, "read whole, and cut to a handful of rows")
            instead = CutSource(type=stage.type, own=stage)
        else:
            instead = rehearsal_of(stage, folder)
        made.told[slot] = told(folder) or _differences(stage, instead)
        if instead is None:
            made.left_out[slot] = stage
        else:
            yield instead


def rehearsal_of(stage: Stage, folder: Path) -> Stage:
    """Return a stage's own rehearsal, those of the stages inside it made first."""
    inside = {key: value for key in type(stage).model_fields if isinstance(value := getattr(stage, key), Stage)}
    for key, value in inside.items():
        (folder / key).mkdir()
        inside[key] = rehearsal_of(value, folder / key)
        for one in told(folder / key):
            tell(folder, f"{key}: {one.sentence}", unsure=one.unsure)
    changes = {key: value for key, value in inside.items() if value is not getattr(stage, key)}
    return (stage.model_copy(update=changes) if changes else stage).rehearsal(folder)


def _says_what(stage: Stage) -> bool:
    return type(stage).rehearsal is not Stage.rehearsal


def _instead(stage: Stage, folder: Path) -> Stage | None:
    """Return what takes the place of a stage that may touch the outside; None where nothing must."""
    tell(folder, _LEFT_OUT, unsure=True)
    match stage:
        case Source():
            from embedrun_plugins.stages.sources.beir import Beir, few_beir

            splits = {split: split for split in SPLITS if split in (stage.splits_given() or SPLITS)}
            return few_beir(Beir(path=folder / "none", splits=splits), folder)
        case Generator():
            from embedrun_plugins.stages.generators.crop import Crop

            tell(folder, "its questions are made by 'crop' instead")
            return Crop()
        case _:
            return None


def _differences(stage: Stage, instead: Stage | None) -> list[Told]:
    """Say what a stage that tells nothing itself runs with."""
    instead = instead and inner(instead)
    if instead is None or instead == stage:
        return []
    if type(instead) is not type(stage):
        return [Told(f"{type(instead).__name__} stands in")]
    keys = [key for key in type(stage).model_fields if getattr(stage, key) != getattr(instead, key)]
    return [Told(f"other values of {', '.join(keys)}")] if keys else []
