"""Finding the model that a recipe starts from: a folder, an installed copy, or the hub at a commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from embedrun.artifacts import Model
from embedrun.errors import PluginError, UserError
from embedrun.hashing import value_digest
from embedrun.hookspecs import LocalModel
from embedrun.model_settings import ModelChoice
from embedrun.store import FileDigests
from embedrun.yamlfile import near


@dataclass(frozen=True)
class BaseModelRef:
    """The model that a recipe starts from, fixed: a local folder, or a hub id at a commit."""

    choice: ModelChoice
    digest: str
    path: Path | None = None
    """None until it is fetched from the hub."""


def find(
    choice: ModelChoice, copies: Sequence[LocalModel], files: FileDigests, *, folder: Path, offline: bool
) -> BaseModelRef:
    """Fix which model is meant, without downloading weights.

    A folder wins over an installed copy (hook `embedrun_models`), which wins over the hub unless a revision is named.
    Raises UserError where there is no such model, or the hub cannot be reached.
    """
    path = _folder(choice.id, folder)
    if path:
        if not any((path / name).exists() for name in ("modules.json", "config.json", "adapter_config.json")):
            raise UserError(f"{path}: no model here (neither modules.json nor config.json)")
        return BaseModelRef(choice.model_copy(update={"id": str(path)}), files.of(path), path)
    copy = _copy_of(choice, copies)
    if copy:
        if files.of(copy.path / "model.safetensors") != copy.sha256:
            raise PluginError(f"the installed copy of '{copy.id}' is damaged; reinstall the package it is in")
        return BaseModelRef(choice, files.of(copy.path), copy.path)
    commit = _hub().commit(choice, offline=offline, installed=[copy.id for copy in copies])
    return BaseModelRef(choice.model_copy(update={"revision": commit}), value_digest(["hub", choice.id, commit]))


def _folder(name: str, recipe_folder: Path, *, required: bool = True) -> Path | None:
    path = Path(name).expanduser()
    for candidate in (recipe_folder / path, path):
        if candidate.is_dir():
            return candidate.resolve()
    if required and name.startswith((".", "/", "~")):
        raise UserError(f"{name}: no such folder{near(path)}")
    return None


def _copy_of(choice: ModelChoice, copies: Iterable[LocalModel]) -> LocalModel | None:
    # A later plugin's copy replaces an earlier one's.
    return {copy.id: copy for copy in copies}.get(choice.id) if choice.revision is None else None


def find_on_disk(choice: ModelChoice, copies: Iterable[LocalModel], folder: Path) -> Model | None:
    """Return the model that a recipe in a folder means, if its files are here, be it without its weights.

    As in a run, a folder wins over an installed copy, and that over the hub's cache.
    """
    copy = _copy_of(choice, copies)
    path = _folder(choice.id, folder, required=False) or (copy.path if copy else None)
    return on_disk(BaseModelRef(choice, "", path))


def on_disk(base: BaseModelRef) -> Model | None:
    """Return the model where its files are on this machine, be it without its weights; nothing is downloaded."""
    path = base.path or _hub().cached(base.choice)
    return Model(path, base.choice.settings) if path else None


def fetch(base: BaseModelRef, *, offline: bool) -> Path:
    """Return the folder of the model, downloading it at its commit where it is not cached.

    Raises UserError where the download fails, or the model has no safetensors weights.
    """
    return base.path or Path(_hub().download(base.choice, offline=offline))


def _hub() -> Any:
    """Return the module that talks to the hub, which plugins bring."""
    return entry_points(group="embedrun.names")["hub_models"].load()
