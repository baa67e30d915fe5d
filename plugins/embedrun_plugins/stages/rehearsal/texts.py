"""Texts that stand in for data which is not here: the passages of the shipped handbook, with a question each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

from embedrun_plugins.services import shipped_recipes


@dataclass(frozen=True)
class Text:
    """A passage, and a question that it answers."""

    question: str
    passage: str


def texts(count: int, start: int = 0) -> list[Text]:
    """Return so many texts, all different, up to the handbook's 205; those from `start` on, then from its beginning."""
    handbook = _handbook()
    return [handbook[index % len(handbook)] for index in range(start, start + min(count, len(handbook)))]


@cache
def _handbook() -> tuple[Text, ...]:
    file = shipped_recipes.recipes_folder() / "data" / "handbook.jsonl"
    by_passage: dict[str, Text] = {}
    for line in file.read_text("utf-8").splitlines():
        row = json.loads(line)
        by_passage.setdefault(row["positive"], Text(row["anchor"], row["positive"]))
    return tuple(by_passage.values())
