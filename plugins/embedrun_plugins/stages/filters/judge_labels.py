"""What people said of questions, to see whether a judge agrees with them."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.artifacts import RetrievalSet
from embedrun.errors import DataError, suggest

_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "question": ("question", "query", "anchor"),
    "passage": ("passage", "document", "context", "positive", "text"),
    "label": ("label", "good", "relevant", "human", "score"),
}
_WORDS = {
    **dict.fromkeys(("yes", "true", "good", "relevant", "keep", "ja", "oui"), True),
    **dict.fromkeys(("no", "false", "bad", "irrelevant", "drop", "nein", "non"), False),
}


@dataclass(frozen=True)
class HumanLabel:
    """What a person said of a question and its passage."""

    question: str
    passage: str
    good: bool


def read(file: Path, data: RetrievalSet, scale: tuple[int, int], threshold: float) -> list[HumanLabel]:
    """Return the labels of a CSV, TSV or JSON-lines file with the columns question, passage and label.

    A passage is its text, or its id in the set; where the set has it, it is shown to the judge as the set has it. A
    label is yes or no, 1 or 0, or a score of the judge's scale, which is good from the threshold on. Raises DataError,
    naming file and line, where something else stands there.
    """
    rows = list(_rows(file))
    if not rows:
        raise DataError(f"labels: {file}: holds no label")
    values = [_value(file, line, row["label"]) for line, row in rows]
    numbers = {value for value in values if not isinstance(value, bool)}
    binary = numbers <= {0.0, 1.0}
    if binary and numbers == {1.0} and scale[0] <= 1:
        raise DataError(f"labels: {file}: every label is 1, which may mean yes or the score; write yes and no")
    for (line, _), value in zip(rows, values, strict=True):
        if not isinstance(value, bool) and not binary and not scale[0] <= value <= scale[1]:
            raise DataError(f"labels: {file}:{line}: {value:g} is no score from {scale[0]} to {scale[1]}")
    passages = _passages(data)
    return [
        HumanLabel(
            row["question"],
            passages.get(row["passage"], row["passage"]),
            value if isinstance(value, bool) else value >= (1 if binary else threshold),
        )
        for (_, row), value in zip(rows, values, strict=True)
    ]


def _passages(data: RetrievalSet) -> dict[str, str]:
    """Return the full text of each passage by its id, its text and its full text."""
    texts: dict[str, str] = {}
    for document in data.documents.values():
        for name in (document.id, document.text.strip(), document.full_text):
            texts.setdefault(name, document.full_text)
    return texts


def _value(file: Path, line: int, written: str) -> bool | float:
    if written.lower() in _WORDS:
        return _WORDS[written.lower()]
    try:
        return float(written)
    except ValueError:
        raise DataError(f"labels: {file}:{line}: '{written[:40]}' is neither yes, no nor a number") from None


def _rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number of each line that a row starts on, and its columns by our names."""
    try:
        yield from _json_rows(file) if file.suffix.lower() in (".jsonl", ".ndjson") else _table_rows(file)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"labels: {file}: cannot be read as UTF-8 text ({error})") from error


def _json_rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    for line, text in enumerate(file.read_text("utf-8-sig").splitlines(), 1):
        if text.strip():
            try:
                row = json.loads(text)
            except ValueError as error:
                raise DataError(f"labels: {file}:{line}: is no JSON ({error})") from error
            if not isinstance(row, dict):
                raise DataError(
                    f'labels: {file}:{line}: is no object such as {{"question": …, "passage": …, "label": …}}'
                )
            yield line, _named(file, line, row, list(row))


def _table_rows(file: Path) -> Iterator[tuple[int, dict[str, str]]]:
    with file.open(encoding="utf-8-sig", newline="") as stream:
        header = stream.readline()
        stream.seek(0)
        delimiter = "\t" if file.suffix.lower() == ".tsv" or "\t" in header else ";" if "," not in header else ","
        reader = csv.DictReader(stream, delimiter=delimiter)
        for row in reader:
            yield reader.line_num, _named(file, reader.line_num, row, reader.fieldnames or [])


def _named(file: Path, line: int, row: Mapping[str, Any], names: Sequence[str]) -> dict[str, str]:
    values = {}
    for column, known in _COLUMNS.items():
        name = next((name for name in names if name and name.strip().lower() in known), None)
        if name is None:
            close = suggest(column, [str(name) for name in names])
            raise DataError(f"labels: {file}: has no column '{column}' ({', '.join(map(str, names))}){close}")
        value = row.get(name)
        text = str(value).strip() if value is not None else ""
        if not text:
            raise DataError(f"labels: {file}:{line}: '{name}' is empty")
        values[column] = text
    return values
