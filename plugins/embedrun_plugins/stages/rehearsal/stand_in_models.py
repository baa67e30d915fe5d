"""Models that stages name beside the recipe's own: guides, guards, judges, models to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from embedrun.model_settings import ModelChoice
from embedrun.registry import Registry
from embedrun.rehearsal import Rehearsal
from embedrun.stage import Stage
from embedrun_plugins.stages.rehearsal import base_models
from embedrun_plugins.stages.rehearsal.random_models import random_model, weights_size
from embedrun_plugins.stages.rehearsal.stand_ins import changed

_S = TypeVar("_S", bound=Stage)


def model_for(key: str, name: str, revision: str | None, rehearsal: Rehearsal, *, scores: bool = False) -> str:
    """Return the folder of a model that a stage names, or of a random one where it is not here, or not small.

    `scores` asks for a cross-encoder; `folder` is the stage's own. A random one is told of under `key`.
    """
    folder = base_models.folder_of(ModelChoice(id=name, revision=revision), Registry(), Path.cwd())
    size = weights_size(folder) if folder else 0
    if folder and (
        0 < size <= base_models.SMALL or (not size and Path(name).is_dir())
    ):  # an empty one is refused as in a run
        return str(folder.resolve())
    random_folder = rehearsal.folder / f"{key}-model"
    random_model(random_folder, base_models.LEAST, base_models.LENGTH, scores=scores)
    why = "is too large for a rehearsal" if size else "is not here"
    rehearsal.note(f"{key}: {name} {why}: a random model is used instead", unsure=not size)
    return str(random_folder.resolve())


def small_or_random(stage: _S, rehearsal: Rehearsal, key: str, revision: str) -> _S:
    """Return a stage that names a model under a key, and its revision under another, with one that can be loaded."""
    return changed(
        stage, **{key: model_for(key, getattr(stage, key), getattr(stage, revision), rehearsal), revision: None}
    )
