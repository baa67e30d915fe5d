"""What is wrong with a recipe whose fields are valid, and whether all that it needs is here."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pluggy

from embedrun.errors import Problem
from embedrun.yamlfile import near

if TYPE_CHECKING:
    from embedrun.recipe import Recipe


def problems(recipe: Recipe, hooks: pluggy.PluginManager) -> Iterator[Problem]:
    """Ask each stage by itself, then the plugins whether the stages fit together."""
    for path, stage in recipe.stages():
        for message in stage.faults():
            yield Problem(path, message)
    for answer in hooks.hook.embedrun_recipe_faults(recipe=recipe):
        yield from answer


def missing(recipe: Recipe) -> Iterator[Problem]:
    """Name the packages and files that are not here, before anything has run."""
    for path, stage in recipe.stages():
        for package, extra in stage.needs().items():
            if importlib.util.find_spec(package) is None:
                message = f"'{stage.type}' needs the package '{package}': pip install 'embedrun[{extra}]'"
                yield Problem(path, message)
        for file in stage.inputs():
            if not file.exists():
                yield Problem((*path, "path"), f"{file}: no such file{near(file)}")
