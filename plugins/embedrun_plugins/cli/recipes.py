"""`embedrun recipes`: the shipped recipes, or a copy of one to change."""

from __future__ import annotations

import shutil
from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun import UserError
from embedrun.errors import suggest
from embedrun_plugins.cli import console
from embedrun_plugins.cli.arguments import write_new
from embedrun_plugins.services import shipped_recipes


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="RECIPE", help="copy this one")
    parser.add_argument("to", nargs="?", type=Path, metavar="FILE", help="under this name (./RECIPE.yaml)")


def run(arguments: Namespace) -> int:
    shipped = shipped_recipes.recipes()
    if not arguments.name:
        print(console.table(["recipe", ""], [[n, about(p)] for n, p in shipped.items()], left=True))
        return 0
    if arguments.name not in shipped:
        raise UserError(f"{arguments.name}: no shipped recipe of that name{suggest(arguments.name, shipped)}")
    target = arguments.to or Path(f"{arguments.name}.yaml")
    text = shipped[arguments.name].read_text("utf-8")
    write_new(target, text)
    data = [path for path in (shipped_recipes.recipes_folder() / "data").glob("*") if f"data/{path.name}" in text]
    for path in data:
        copy = target.parent / "data" / path.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if not copy.exists():
            shutil.copy(path, copy)
    print(f"wrote {', '.join(map(str, [target, *(target.parent / 'data' / path.name for path in data)]))}")
    return 0


def about(recipe: Path) -> str:
    """Return the first comment line of a recipe, which says what it is for."""
    first = recipe.read_text("utf-8").split("\n", 1)[0]
    return first.lstrip("# ").strip()
