"""Imports point down the wings, kinds of stage know nothing of each other, and no two files import each other.

Every import counts: those inside functions, those for type checkers alone, and those of stubs. A reference in a string
("module:Class"), which the plugins' hooks resolve, is no import.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RANKS = {"": 5, "cli": 4, "stages": 3, "services": 2, "results": 1, "models": 1, "core": 0}
"""A wing imports itself and those of a lower rank; "" is the package's root, which enters all of them."""
SHARED = {"texts", "rehearsal", "aws_stage", "named_models", "docstrings"}
"""What several kinds of stage share, and what tells of any stage."""
KINDS = {
    ("trainers", "losses"): "a trainer's checks and steps read the options of the losses that they know",
    (
        "rerankers",
        "trainers",
    ): "a reranker is trained with the embedder's trainer: its options, checkpoints and processes",
}
"""Kinds of stage that import another one, each with its reason."""
PLUGINS_IN_CORE = {
    "embedrun.langchain": "its stub names the class that the entry point `embedrun.clients` brings",
    "embedrun.llama_index": "its stub names the class that the entry point `embedrun.clients` brings",
    "embedrun.testing": "its stub names the functions that the entry point `embedrun.names` brings",
}
"""Modules of core whose stub, never whose code, names a plugin: a type checker cannot follow an entry point."""


@cache
def files() -> dict[str, list[Path]]:
    """Return every module's source, and its stub where it has one."""
    found: dict[str, list[Path]] = {}
    for top in (ROOT / "core", ROOT / "plugins"):
        for path in sorted([*top.rglob("*.py"), *top.rglob("*.pyi")]):
            module = ".".join(path.relative_to(top).with_suffix("").parts).removesuffix(".__init__")
            found.setdefault(module, []).append(path)
    return found


def imported(path: Path) -> Iterator[str]:
    """Yield the modules of this project that a file imports; a name of a package counts as the package."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in files())
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: imports are absolute"
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                if submodule in files() or node.module in files():
                    yield submodule if submodule in files() else str(node.module)


@cache
def graph() -> dict[str, set[str]]:
    return {module: {name for path in paths for name in imported(path)} - {module} for module, paths in files().items()}


def wing(module: str) -> str:
    package, *folders = module.split(".")
    return "core" if package == "embedrun" else folders[0] if folders and folders[0] in RANKS else ""


def arrows() -> Iterator[tuple[str, str]]:
    for module, targets in graph().items():
        yield from ((module, target) for target in sorted(targets))


def test_every_folder_is_a_wing():
    folders = {path.parent.name for path in (ROOT / "plugins/embedrun_plugins").glob("*/__init__.py")}
    assert folders == set(RANKS) - {"", "core"}


def test_no_import_points_up():
    up = {
        f"{module} imports {target}"
        for module, target in arrows()
        if wing(module) != wing(target) and RANKS[wing(target)] >= RANKS[wing(module)]
        if module not in PLUGINS_IN_CORE
    }
    assert not up


@pytest.mark.parametrize("module", PLUGINS_IN_CORE)
def test_core_names_plugins_in_listed_stubs_alone(module):
    for path in files()[module]:
        plugins = {name for name in imported(path) if wing(name) != "core"}
        assert bool(plugins) is (path.suffix == ".pyi"), path


def test_no_kind_of_stage_imports_another():
    across = {
        (own[2], other[2])
        for own, other in ((module.split("."), target.split(".")) for module, target in arrows())
        if own[1:2] == other[1:2] == ["stages"] and len(own) > 2 and len(other) > 2
        if own[2] != other[2] and other[2] not in SHARED
    }
    assert across == set(KINDS)


def circle(modules: dict[str, set[str]]) -> str:
    """Return a circle of imports, or nothing."""
    try:
        TopologicalSorter(modules).prepare()
    except CycleError as error:
        return " imports ".join(reversed(error.args[1]))
    return ""


def test_no_files_import_each_other_in_a_circle():
    assert not circle(graph())
