"""Finding the model that a recipe starts from: a folder, an installed copy, or the hub at a commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import PluginError, UserError
from embedrun.file_digests import FileDigests
from embedrun.hashing import value_digest
from embedrun.hookspecs import LocalModel
from embedrun.model_settings import BaseModelRef, ModelChoice
from embedrun.yamlfile import near
from embedrun_plugins.models import hub_models


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
    commit = hub_models.commit(choice, offline=offline, installed=[copy.id for copy in copies])
    return BaseModelRef(choice.model_copy(update={"revision": commit}), value_digest(["hub", choice.id, commit]))


def _folder(name: str, recipe_folder: Path, *, required: bool = True) -> Path | None:
    try:
        path = Path(name).expanduser()
        for candidate in (recipe_folder / path, path):
            if candidate.is_dir():
                return candidate.resolve()
    except (OSError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UserError(f"{name[:60]}: no folder or model can be called so: {reason}") from error
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
    path = base.path or hub_models.cached(base.choice)
    return Model(path, base.choice.settings) if path else None


def fetch(base: BaseModelRef, *, offline: bool) -> Path:
    """Return the folder of the model, downloading it at its commit where it is not cached.

    Raises UserError where the download fails, or the model has no safetensors weights.
    """
    return base.path or hub_models.download(base.choice, offline=offline)
