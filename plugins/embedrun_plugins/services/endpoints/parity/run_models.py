"""The models of a run that its endpoints are compared with."""

from __future__ import annotations

from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun.file_digests import FileDigests
from embedrun.model_settings import ModelChoice
from embedrun.record import RunRecord
from embedrun.registry import Registry
from embedrun_plugins.models.base_models import fetch, find
from embedrun_plugins.services.served_models import named


def last_of(run: RunRecord, runs: Path, *, offline: bool = False) -> Model:
    """Return the model that a run deployed. Raises UserError where it is no longer kept."""
    return named(str(run.folder), Registry(), _digests(run), runs=runs, offline=offline).model


def base_of(run: RunRecord) -> Model | None:
    """Return the model that a run started from; None where it trained none, or that model is no longer here."""
    recipe = run.recipe
    if not recipe.get("trainer"):
        return None
    choice = ModelChoice.model_validate(recipe["model"])
    try:
        base = find(choice, Registry().local_models(), _digests(run), folder=run.folder, offline=True)
        return Model(fetch(base, offline=True), choice.settings)
    except UserError:
        return None


def _digests(run: RunRecord) -> FileDigests:
    return FileDigests(run.store / "files.json")
