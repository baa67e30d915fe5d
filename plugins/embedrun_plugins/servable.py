"""Whether a recipe's deployers could serve its model, as far as what is on this machine tells."""

from __future__ import annotations

from pathlib import Path

from embedrun import Model
from embedrun.models import Base, on_disk
from embedrun.recipe import ModelChoice
from embedrun.registry import Registry
from embedrun.running import Loaded


def require(loaded: Loaded) -> None:
    """Raise RecipeError where a deployer refuses the recipe's model; nothing is downloaded or hashed."""
    if deployers := loaded.recipe.deployer:
        loaded.require_served(deployers, found(loaded.recipe.model, loaded.registry, loaded.path.parent))


def found(choice: ModelChoice, registry: Registry, beside: Path) -> Model | None:
    """Return the model that a recipe in the folder `beside` means, if its files are here, be it without its weights.

    As in a run, a folder wins over an installed copy, and that over the hub's cache.
    """
    path = Path(choice.id).expanduser()
    folder = next((one.resolve() for one in (beside / path, path) if one.is_dir()), None)
    copies = {copy.id: copy.path for copy in registry.local_models()} if choice.revision is None else {}
    return on_disk(Base(choice, "", folder or copies.get(choice.id)))
