"""The model that a word on the command line means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun.file_digests import FileDigests
from embedrun.model_settings import ModelChoice
from embedrun.record import RunRecord
from embedrun.registry import Registry
from embedrun_plugins.models.base_models import fetch, find
from embedrun_plugins.models.cross_encoders import is_cross_encoder
from embedrun_plugins.results.runs import find_run, is_run


@dataclass(frozen=True)
class Served:
    """A model to serve, and what its clients know it by."""

    model: Model
    name: str


def named(
    name: str, registry: Registry, files: FileDigests, *, runs: Path, offline: bool, reranker: bool = False
) -> Served:
    """Return the model that a word means: a run's last model, or its `reranker`, a folder, or a hub id.

    Raises UserError where there is no such model, or the run's last one is not made or no longer kept.
    """

    def base(choice: ModelChoice) -> Model:
        base_model = find(choice, registry.local_models(), files, folder=Path(), offline=offline)
        model = Model(fetch(base_model, offline=offline), choice.settings)
        if not is_cross_encoder(model.path) and (faults := registry.model_faults(model)):
            raise UserError("; ".join(faults))
        return model

    folder = next((path for path in (Path(name), runs / name) if is_run(path)), None)
    if folder is None:
        return Served(base(ModelChoice(id=name)), Path(name).name if Path(name).is_dir() else name)
    record = RunRecord.read(find_run(str(folder), runs))
    lock = record.folder / "recipe.lock.json"
    recipe = record.recipe
    try:
        choice = ModelChoice.model_validate(recipe.get("model"))
    except ValidationError as error:
        raise UserError(f"{lock}: is damaged, or of another version ({error.errors()[0]['msg']})") from error
    slot, role = ("reranker", "reranker") if reranker else _last_model(recipe)
    known_as = f"{record.name}/{record.folder.resolve().name}, {role}"
    if slot is None:
        return Served(base(choice), known_as)
    tuned = record.artifact(slot)
    if tuned is None:
        raise UserError(f"{record.folder}: has no {role} model, or no longer; run it again with `embedrun run {lock}`")
    return Served(Model(tuned) if reranker else Model(tuned, choice.settings.unsaved()), known_as)


def _last_model(recipe: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the slot that makes the model which a run ends with, and that model's role."""
    if recipe.get("merge"):
        return "merge", "merged"
    return ("trainer", "tuned") if recipe.get("trainer") else (None, "base")
