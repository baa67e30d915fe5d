"""The table "Where is …" of docs/architecture.md names files and definitions that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/architecture.md"
ROW = re.compile(r"^\| (?P<behaviour>[^|]+?) \| `(?P<file>[\w./]+)` \| `(?P<name>[\w.]+)` \|$")
FEWEST = 40


def rows() -> list[re.Match[str]]:
    table = PAGE.read_text("utf-8").partition("## Where is …")[2]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    matches = [ROW.match(line) for line in lines]
    assert None not in matches, f"no row of the table: {lines[matches.index(None)]}"
    return [match for match in matches if match]


def path_of(file: str) -> Path:
    return ROOT / (f"core/embedrun/{file[5:]}" if file.startswith("core/") else f"plugins/embedrun_plugins/{file}")


def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield what a module or class defines: classes, functions, constants, and what its classes define."""
    for node in body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield f"{prefix}{node.name}"
        if isinstance(node, ast.ClassDef):
            yield from defined(node.body, f"{prefix}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        yield from (f"{prefix}{target.id}" for target in targets if isinstance(target, ast.Name))


@cache
def names_in(path: Path) -> frozenset[str]:
    return frozenset(defined(ast.parse(path.read_text("utf-8")).body))


def problem(file: str, name: str) -> str | None:
    """Say what is wrong with a row, and what was probably meant, also where it has moved."""
    path = path_of(file)
    if path.is_file() and name in names_in(path):
        return None
    every = [other for top in ("core", "plugins") for other in sorted((ROOT / top).rglob("*.py"))]
    homes = [str(other.relative_to(ROOT)) for other in every if name in names_in(other)]
    near = get_close_matches(name, names_in(path), 3, 0.5) if path.is_file() else []
    what = "does not define" if path.is_file() else "does not exist, so neither does"
    return f"{file} {what} {name}; it is in {homes or 'no file'}; near there: {near or '-'}"


def test_every_row_names_a_file_and_what_it_defines():
    wrong = [f"{row['behaviour']}: {reason}" for row in rows() if (reason := problem(row["file"], row["name"]))]
    assert wrong == [], "\n" + "\n".join(wrong)


def test_the_table_has_enough_rows_each_once():
    behaviours = [row["behaviour"].strip() for row in rows()]
    assert len(behaviours) >= FEWEST
    assert len(set(behaviours)) == len(behaviours)
