"""A handful of rows or queries for a rehearsal: the first of what is here, made-up ones of what is not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from embedrun_plugins.stages.rehearsal.texts import texts
from embedrun_plugins.stages.sources.columns import Columns, complete
from embedrun_plugins.stages.sources.holdout import Holdout
from embedrun_plugins.stages.sources.tables import Row, Table

ROWS = 30
"""Rows of a split."""
_LOOKED_AT = 2_000
_LEAST_HELD_OUT = 2
_QUERIES = 12
"""Of a split; twice as many where some are held out of them."""
OTHERS = 24
"""Documents beside those that answer."""


def first_rows(table: Table, columns: Columns, file: Path) -> int:
    """Write some of a table's first rows as JSON lines, and return how many.

    Rows whose texts were not met yet come first, so that some of them can be held out from the others.
    """
    named = complete(columns, table.columns, table.name, table.nested)
    looked_at = list(islice(table.read(table.columns), _LOOKED_AT))
    spread = looked_at[:: max(1, len(looked_at) // ROWS)]
    seen: set[str] = set()
    chosen: dict[int, Row] = {}
    for row in (*spread, *looked_at):
        sides = [str(row.value(column) or "").strip() for column in (named.anchor, named.positive) if column]
        if len(chosen) < ROWS and all(sides) and not seen.intersection(sides):
            seen.update(sides)
            chosen[row.number] = row
    for row in spread[: ROWS - len(chosen)]:
        chosen.setdefault(row.number, row)
    write_rows(file, (chosen[number].values for number in sorted(chosen)))
    return len(chosen)


def made_up_rows(columns: Columns, file: Path, start: int = 0) -> int:
    """Write made-up rows with the columns that are named, or with those that would be guessed; return how many."""
    pairs = texts(ROWS, start)
    passages = [text.passage for text in pairs]
    rows = (_row(columns, passages[n:] + passages[:n], text.question, n) for n, text in enumerate(pairs))
    write_rows(file, rows)
    return ROWS


def _row(columns: Columns, passages: list[str], question: str, number: int) -> dict[str, Any]:
    """Make a row; `passages` begin with the one that answers. A fourth of graded rows is not relevant."""
    relevant = not columns.score or number % 4 != 0
    row: dict[str, Any] = dict.fromkeys(columns.metadata, f"row {number}")
    row[columns.anchor or "anchor"] = question
    row[columns.positive or "positive"] = passages[0 if relevant else -1]
    guessed = ("negative",) if not (columns.anchor and columns.positive) and not columns.title else ()
    row |= dict(zip(columns.negative or guessed, passages[1:], strict=False))
    row |= {columns.title: f"Section {number}"} if columns.title else {}
    row |= {columns.score: float(relevant)} if columns.score else {}
    if columns.positive_score:
        row |= {columns.positive_score: 5.0 + number % 3, **dict.fromkeys(columns.negative_score, 1.0)}
    return row


def write_rows(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with file.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(dict(row), ensure_ascii=False, default=str) + "\n" for row in rows)


def few_queries(holdout: Holdout | None) -> int:
    """Return how many queries of a split are read."""
    return 2 * _QUERIES if holdout else _QUERIES


def held_out_of(count: int, holdout: Holdout | None) -> Holdout | None:
    """Hold no more than a third of so many out in all, where a number of queries is to be."""
    if holdout is None:
        return None
    most = max(_LEAST_HELD_OUT, count // 6)
    parts = {name: getattr(holdout, name) for name in ("test", "dev")}
    return holdout.model_copy(update={name: min(part, most) if part >= 1 else part for name, part in parts.items()})
