"""Files that come with embedrun: the shipped recipes and their data, and what an agent should know."""

from __future__ import annotations

from pathlib import Path

import embedrun
from embedrun.errors import UserError, suggest


def recipes_folder() -> Path:
    """Return the folder of the shipped recipes, in a wheel or in a checkout."""
    here = Path(embedrun.__file__).resolve().parent
    installed = here / "_data" / "recipes"
    return installed if installed.is_dir() else here.parents[1] / "recipes"


def skill() -> Path:
    """Return the file that tells a coding agent how to use embedrun, in a wheel or in a checkout."""
    here = Path(embedrun.__file__).resolve().parent
    installed = here / "_data" / "SKILL.md"
    return installed if installed.is_file() else here.parents[1] / "docs/SKILL.md"


def recipes() -> dict[str, Path]:
    """Return the shipped recipes by name."""
    return {path.stem: path for path in sorted(recipes_folder().glob("*.yaml"))}


def find_recipe(name: str) -> Path:
    """Return the recipe file that a word on the command line means: a path, or a shipped recipe's name.

    Raises UserError where there is neither.
    """
    path = Path(name)
    if path.exists() or path.suffix in (".yaml", ".yml", ".json") or "/" in name:
        return path
    shipped = recipes()
    if name not in shipped:
        raise UserError(f"{name}: no such file, and no shipped recipe of that name{suggest(name, shipped)}")
    return shipped[name]
