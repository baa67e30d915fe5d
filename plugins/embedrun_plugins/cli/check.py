"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from embedrun import execution
from embedrun_plugins.cli.arguments import loaded, recipe


def configure(parser: ArgumentParser) -> None:
    recipe(parser)


def run(arguments: Namespace) -> int:
    checked = loaded(arguments)
    checked.require()
    execution.require(checked)
    print(f"{checked.path}: ok: {', '.join(f'{stage.kind} {stage.type}' for _, stage in checked.recipe.stages())}")
    return 0
