"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from embedrun.base_model import find_on_disk
from embedrun.execution import Loaded
from embedrun_plugins.cli.arguments import loaded, recipe


def configure(parser: ArgumentParser) -> None:
    recipe(parser)


def run(arguments: Namespace) -> int:
    checked = loaded(arguments)
    checked.require()
    require_served(checked)
    print(f"{checked.path}: ok: {', '.join(f'{stage.kind} {stage.type}' for _, stage in checked.recipe.stages())}")
    return 0


def require_served(loaded: Loaded) -> None:
    """Raise RecipeError where a deployer refuses the recipe's model; nothing is downloaded or hashed."""
    if deployers := loaded.recipe.deployer:
        copies = loaded.registry.local_models()
        loaded.require_served(deployers, find_on_disk(loaded.recipe.model, copies, loaded.path.parent))
