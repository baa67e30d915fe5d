"""Texts that stand in for data which is not here: the passages of the shipped handbook, with a question each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from embedrun import shipped_recipes


@dataclass(frozen=True)
class Text:
    """A passage, and a question that it answers."""

    question: str
    passage: str


def texts(count: int, start: int = 0) -> list[Text]:
    """Return so many texts, all different, up to the handbook's 205; those from `start` on, then from its beginning."""
    known = _handbook()
    return [known[place % len(known)] for place in range(start, start + min(count, len(known)))]


@cache
def _handbook() -> tuple[Text, ...]:
    file = shipped_recipes.recipes_folder() / "data" / "handbook.jsonl"
    found: dict[str, Text] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        found.setdefault(row["positive"], Text(row["anchor"], row["positive"]))
    return tuple(found.values())
