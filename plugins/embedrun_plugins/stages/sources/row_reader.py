"""What one row says: a question, passages that answer it, and passages that do not."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from embedrun.artifacts import Document, Role
from embedrun.errors import DataError
from embedrun_plugins.stages.sources.columns import Columns, complete
from embedrun_plugins.stages.sources.tables import Row, Table

_LIST = re.compile(r"""\[\s*(['"]).*['"]\s*,?\s*\]""", re.DOTALL)
"""A list as pandas, NumPy and JSON write it into a cell."""
_HEAD = 100
"""Rows looked at before a run."""
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
Scored = tuple[str, float]


class ParsedRow(NamedTuple):
    """A row's texts, without the white space around them; none is empty."""

    anchor: str
    positives: Sequence[Scored]
    negatives: Sequence[Scored]
    title: str
    metadata: Mapping[str, Any]


class RowReader:
    """Reads rows of one table. Raises DataError, naming row and column, for values of another type."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table = table
        self.columns = columns
        self.list_column = ""
        """The first column with a list that is written as text, where cells can hold no lists."""
        self.rows_with_lists = 0

    def pairing(self, row: Row) -> ParsedRow | None:
        """Return what a row says; None where it has no anchor or no positive."""
        columns = self.columns
        if columns.anchor is None or columns.positive is None:
            raise DataError(f"{self.table.name}: the columns of anchor and positive are not known")
        anchor = self._text(row, columns.anchor)
        grades = columns.score or columns.positive_score
        positives = self._scored(row, columns.positive, grades, 1.0)
        if not anchor or not positives:
            return None
        self._count_lists(row)
        scores = columns.negative_score or (None,) * len(columns.negative)
        negatives = [
            scored
            for column, graded in zip(columns.negative, scores, strict=True)
            for scored in self._scored(row, column, graded, 0.0)
        ]
        title = self._text(row, columns.title) if columns.title else ""
        metadata = {name: self.plain(row, name, row.value(name)) for name in columns.metadata}
        return ParsedRow(anchor, positives, negatives, title, metadata)

    def _scored(self, row: Row, column: str, graded: str | None, default: float) -> list[Scored]:
        """Return the texts of a cell with their scores, empty ones left out."""
        value = row.value(column)
        values = value if isinstance(value, list) else [value]
        texts = [self.checked(row, column, item).strip() for item in values]
        if not any(texts):
            return []
        scores = self._scores(row, graded, len(texts)) if graded else [default] * len(texts)
        return [(text, score) for text, score in zip(texts, scores, strict=True) if text]

    def _scores(self, row: Row, column: str, count: int) -> list[float]:
        value = row.value(column)
        if not isinstance(value, list):
            return [self._number(row, column, value)] * count
        if len(value) != count:
            raise self._wrong(row, column, f"has {len(value)} scores for {count} texts")
        return [self._number(row, column, item) for item in value]

    def _number(self, row: Row, column: str, value: Any) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise self._wrong(row, column, f"must hold a number, not {_shown(value)}")
        return number

    def _count_lists(self, row: Row) -> None:
        if self.table.flat:
            columns = [name for role, name in self.columns.named() if role in ("anchor", "positive", "negative")]
            listing = [name for name in columns if _LIST.fullmatch(str(row.value(name) or "").strip())]
            self.list_column = self.list_column or "".join(listing[:1])
            self.rows_with_lists += bool(listing)

    def listed_as_text(self, used: int) -> str:
        """Say what is wrong where cells hold lists as text; raises DataError where most of the `used` rows do."""
        if not self.rows_with_lists:
            return ""
        what = (
            f"column '{self.list_column}' holds a list written as text in {self.rows_with_lists:,} of {used:,} rows; "
            "a cell of CSV or TSV is one text, so save the rows as JSON lines, whose lists are read as several texts "
            "(with pandas: to_json('rows.jsonl', orient='records', lines=True), after ast.literal_eval of that column)"
        )
        if self.rows_with_lists > used / 2:
            raise DataError(f"{self.table.name}: {what}")
        return f"{self.table.label}: {what}"

    def _text(self, row: Row, column: str) -> str:
        return self.checked(row, column, row.value(column)).strip()

    def checked(self, row: Row, column: str, value: Any) -> str:
        """Return a cell's text as it stands, empty where there is none; raises DataError where it is no text."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return ""
        if not isinstance(value, str):
            raise self._wrong(row, column, f"must hold text, not {_shown(value)}")
        if not value.isascii() and (surrogate := _LONE_SURROGATE.search(value)):
            raise self._wrong(
                row, column, f"holds half a character (\\u{ord(surrogate[0]):04x}), which is not valid text"
            )
        return value

    def plain(self, row: Row, column: str, value: Any) -> Any:
        """Return a metadata value as JSON knows it; dates and the like as text."""
        if isinstance(value, str):
            return self.checked(row, column, value)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, list):
            return [self.plain(row, column, item) for item in value]
        if isinstance(value, dict):
            return {str(key): self.plain(row, column, item) for key, item in value.items()}
        return value if value is None or isinstance(value, int) else str(value)

    def _wrong(self, row: Row, column: str, what: str) -> DataError:
        return DataError(f"{self.table.where(row)}: column '{column}' {what}")


def must_be_texts(table: Table, columns: Columns) -> None:
    """Read a table's first rows; raises DataError as reading all of it would."""
    reader = RowReader(table, columns)
    rows = islice(table.read({name for _, name in columns.named()}), _HEAD)
    reader.listed_as_text(sum(reader.pairing(row) is not None for row in rows))


def head_texts(tables: Sequence[Table], columns: Columns, count: int) -> Mapping[Role, Sequence[str]]:
    """Return the distinct texts of about so many of the first rows of tables, by role."""
    texts: dict[Role, dict[str, None]] = {"document": {}, "query": {}}
    for table in tables:
        reader = RowReader(table, complete(columns, table.columns, table.name, table.nested))
        names = {name for _, name in reader.columns.named()}
        for row in filter(None, map(reader.pairing, islice(table.read(names), -(-count // len(tables))))):
            texts["query"][row.anchor] = None
            passages = (Document("", text, row.title).full_text for text, _ in row.positives)
            texts["document"].update(dict.fromkeys((*passages, *(text for text, _ in row.negatives))))
    return {role: list(distinct) for role, distinct in texts.items()}


def _shown(value: Any) -> str:
    """Show a value and its type, shortened, for a message."""
    names = {bool: "a truth value", int: "a number", float: "a number", list: "a list", dict: "an object"}
    if value is None or value == "":
        return "nothing"
    text = repr(value)
    shown = text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004  # as much as fits on a line
    kind = names.get(type(value))
    return f"{kind} ({shown})" if kind else shown
