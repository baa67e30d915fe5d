"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from embedrun.errors import printable
from embedrun.execution import Loaded
from embedrun_plugins.cli.arguments import loaded, recipe
from embedrun_plugins.models.base_models import find_on_disk


def configure(parser: ArgumentParser) -> None:
    recipe(parser)


def run(arguments: Namespace) -> int:
    checked = loaded(arguments)
    checked.require()
    require_usable(checked)
    stages = ", ".join(f"{stage.kind} {stage.type}" for _, stage in checked.recipe.stages())
    print(printable(f"{checked.path}: ok: {stages}"))
    return 0


def require_usable(loaded: Loaded) -> None:
    """Raise RecipeError where the recipe's model cannot be used or served; nothing is downloaded or hashed."""
    model = find_on_disk(loaded.recipe.model, loaded.registry.local_models(), loaded.path.parent)
    loaded.require_usable(loaded.recipe.deployer, model)
