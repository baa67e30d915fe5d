"""Whether a recipe's deployers could serve its model, as far as what is on this machine tells."""

from __future__ import annotations

from pathlib import Path

from embedrun.errors import Problem
from embedrun.models import Base
from embedrun.running import Loaded


def require(loaded: Loaded) -> None:
    """Raise RecipeError where a deployer refuses the recipe's model; nothing is downloaded or hashed."""
    deployers = loaded.recipe.deployer
    if not deployers:
        return
    base = Base(loaded.recipe.model, "", _folder(loaded))
    if refused := [Problem(("deployer", n), why) for n, one in enumerate(deployers) for why in one.refuses(base)]:
        raise loaded.document.error(refused)


def files(base: Base) -> Path | None:
    """Return the folder of a model's files where they are here, be it without its weights in the hub's cache."""
    if base.path is not None or base.choice.id.startswith((".", "/", "~")):
        return base.path
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(base.choice.id, revision=base.choice.revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        return None
    return folder


def _folder(loaded: Loaded) -> Path | None:
    choice = loaded.recipe.model
    path = Path(choice.id).expanduser()
    if found := next((folder for folder in (loaded.path.parent / path, path) if folder.is_dir()), None):
        return found.resolve()
    copies = {copy.id: copy.path for copy in loaded.registry.local_models()}
    return copies.get(choice.id) if choice.revision is None else None
