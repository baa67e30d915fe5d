"""Models that a stage names beside the one that the recipe fine-tunes: guides, guards, other models to compare with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo

from embedrun.context import candidates
from embedrun.file_digests import FileDigests
from embedrun.model_settings import BaseModelRef, ModelChoice
from embedrun.registry import Registry
from embedrun_plugins.models import base_models


def _folder_or_id(value: Any, info: ValidationInfo) -> Any:
    """Return a folder's full path, sought beside the recipe and then here; anything else is a hub id."""
    if not isinstance(value, str) or not value:
        return value
    return next((str(path.resolve()) for path in candidates(value, info) if path.is_dir()), value)


ModelName = Annotated[str, BeforeValidator(_folder_or_id), Field(min_length=1)]
"""A model's folder (from the recipe's, or the current one) or hub id."""


def files_of(name: str) -> list[Path]:
    """Return what `Stage.inputs` must name for a model: its folder, where it is one."""
    folder = Path(name)
    return [folder] if folder.is_dir() else []


def missing_folder(name: str) -> str | None:
    """Say what is wrong with a name that can only be a folder and is none; for `Stage.faults`."""
    return f"no such folder: {name}" if name.startswith((".", "/", "~")) and not Path(name).is_dir() else None


def commit_of(name: str, revision: str | None, *, offline: bool) -> str | None:
    """Return the commit that a hub id's revision stands for, or None for a folder or an installed copy.

    For `Stage.resolve`. Raises UserError where there is no such model, or the hub cannot be reached.
    """
    return _found(name, revision, offline=offline).choice.revision


def folder_of(name: str, revision: str | None = None, *, offline: bool, trust_remote_code: bool = False) -> Path:
    """Return a model's folder, downloading it where it is not here, its Python code only where that is trusted.

    Raises UserError where that cannot be.
    """
    return base_models.fetch(_found(name, revision, offline=offline, trusted=trust_remote_code), offline=offline)


def _found(name: str, revision: str | None, *, offline: bool, trusted: bool = False) -> BaseModelRef:
    choice = ModelChoice(id=name, revision=revision, trust_remote_code=trusted)
    return base_models.find(
        choice, Registry().local_models(), FileDigests(Path("none")), folder=Path.cwd(), offline=offline
    )
