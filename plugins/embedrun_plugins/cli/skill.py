"""`embedrun skill`: what a coding agent should know of embedrun, as a skill's file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from embedrun_plugins.cli.arguments import write_new
from embedrun_plugins.services import shipped_recipes

NAME = Path("embedrun/SKILL.md")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--write", type=Path, metavar="FOLDER", help="write embedrun/SKILL.md into this folder of skills instead"
    )


def run(arguments: Namespace) -> int:
    text = shipped_recipes.skill().read_text("utf-8")
    if arguments.write is None:
        print(text, end="")
        return 0
    file = arguments.write / NAME
    write_new(file, text)
    print(f"wrote {file}")
    return 0
