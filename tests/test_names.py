"""Names: modules are nouns, one class has one name, and a variable says what it holds."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = sorted(path for top in ("core", "plugins") for path in (ROOT / top).rglob("*.py"))
FAIR = re.compile(r"^- `(\w+ing)`: ", re.MULTILINE)
VAGUE = frozenset({"found", "place", "one", "told", "made", "asked", "given", "own"})
"""Words that say how a value came, not what it is."""
DOUBLES = 0
"""How many class names two classes share. It may fall, never rise."""
BINDINGS = 58
"""How many variables and arguments still have such a name. It may fall, never rise."""


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path, node


def test_only_fair_modules_end_in_ing():
    fair = FAIR.findall((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    modules = {path.stem for path in FILES if path.stem.endswith("ing")}
    assert len(fair) <= 10
    assert modules - set(fair) == set(), "name the thing, not the doing, or add a reason to CONTRIBUTING.md"
    assert set(fair) - modules == set(), "CONTRIBUTING.md lists a module that is gone"


def test_a_class_name_means_one_class():
    classes = Counter(node.name for _, node in nodes() if isinstance(node, ast.ClassDef))
    doubles = {name: count for name, count in classes.items() if count > 1}
    assert len(doubles) <= DOUBLES, f"rename one of each: {doubles}"


def test_variables_say_what_they_hold():
    bound: Counter[str] = Counter()
    for _, node in nodes():
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound[node.id] += 1
        elif isinstance(node, ast.arg):
            bound[node.arg] += 1
    vague = {name: bound[name] for name in sorted(VAGUE) if bound[name]}
    assert sum(vague.values()) <= BINDINGS, f"found, place and the like say nothing: {vague}"
