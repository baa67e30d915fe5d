"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from embedrun import execution
from embedrun_plugins.cli.arguments import loaded, recipe


def configure(parser: ArgumentParser) -> None:
    recipe(parser)


def run(arguments: Namespace) -> int:
    found = loaded(arguments)
    found.require()
    execution.require(found)
    print(f"{found.path}: ok: {', '.join(f'{stage.kind} {stage.type}' for _, stage in found.recipe.stages())}")
    return 0
