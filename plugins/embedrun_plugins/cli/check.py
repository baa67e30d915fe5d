"""`embedrun check`: whether a recipe can work, before anything is loaded."""

from __future__ import annotations

from argparse import Namespace

from embedrun import Command, execution
from embedrun_plugins.cli.arguments import loaded, recipe


def run(arguments: Namespace) -> int:
    found = loaded(arguments)
    found.require()
    execution.require(found)
    print(f"{found.path}: ok: {', '.join(f'{stage.kind} {stage.type}' for _, stage in found.recipe.stages())}")
    return 0


CHECK = Command("check", "Check a recipe without running it.", recipe, run)
