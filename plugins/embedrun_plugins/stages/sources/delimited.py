"""Reading CSV and TSV files."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.opened_files import not_utf8, opened

Record = tuple[int, list[str]]
"""The line on which a record starts, from 1, and its fields."""
_DELIMITERS = (";", "\t", "|")
"""What separates fields besides the comma: Excel writes semicolons wherever the comma is the decimal point."""
_UNQUOTED = "if quotes are only characters in this file, set quoting: false"


def header_of(path: Path) -> str:
    """Return a file's first line that is not blank; empty where there is none."""
    with opened(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        try:
            return next((line for line in text if line.strip()), "")
        except UnicodeDecodeError as error:
            raise not_utf8(path) from error


def delimiter_of(header: str) -> str:
    """Return what separates the names in a CSV file's first line: a comma, unless there is none but another one."""
    if "," in header:
        return ","
    return max(_DELIMITERS, key=header.count) if any(map(header.count, _DELIMITERS)) else ","


def columns_and_records(
    path: Path, delimiter: str | None, *, quoting: bool
) -> tuple[tuple[str, ...], Iterator[Record]]:
    """Return the names in the first line, and the records after it with as many fields as there are names.

    Raises DataError, also while records are read, with file and line of what cannot be read.
    """
    delimiter = delimiter or delimiter_of(header_of(path))
    records = _records(path, delimiter, quoting=quoting)
    _, header = next(records, (0, []))
    columns = tuple(name.strip() for name in header)
    if not columns:
        raise DataError(f"{path}: is empty; the first line must name the columns")
    for index, name in enumerate(columns):
        if name and name in columns[:index]:
            raise DataError(f"{path}:1: the column '{name}' is there twice; rename one of them")
    return columns, _complete(path, records, len(columns), delimiter)


def _complete(path: Path, records: Iterator[Record], count: int, delimiter: str) -> Iterator[Record]:
    for number, (line, fields) in enumerate(records):
        if len(fields) != count:
            raise DataError(
                f"{path}:{line} (row {number}): has {len(fields)} fields, but the header names {count}; "
                f"a field that holds {delimiter!r} or a line break must be in double quotes"
            )
        yield line, fields


def _records(path: Path, delimiter: str, *, quoting: bool) -> Iterator[Record]:
    """Yield the records; blank lines are left out."""
    csv.field_size_limit(2**31 - 1)  # Python's default refuses fields above 131,072 characters
    start = 1
    with opened(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        lines = _LineMemory(text)
        reader = csv.reader(
            lines, delimiter=delimiter, strict=quoting, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE
        )
        try:
            for fields in reader:
                if fields:
                    _refuse_swallowed(path, start, lines.seen, fields, delimiter)
                    yield start, fields
                start = reader.line_num + 1
                lines.seen.clear()
        except csv.Error as error:
            raise DataError(
                f"{path}:{start}: the record that starts here cannot be read: {error}; "
                f'a field with quotes in it must be in double quotes, with each quote doubled (""); {_UNQUOTED}'
            ) from error
        except UnicodeDecodeError as error:
            raise not_utf8(path) from error


class _LineMemory:
    """Yields lines, and keeps those of the record that is being read."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines = lines
        self.seen: list[str] = []

    def __iter__(self) -> Iterator[str]:
        for line in self.lines:
            self.seen.append(line)
            yield line


def _refuse_swallowed(path: Path, start: int, lines: list[str], fields: list[str], delimiter: str) -> None:
    """Raise DataError where a TSV record is of several lines each of which is a whole row without its quotes."""
    if delimiter == "\t" and len(lines) > 1 and all(line.count("\t") == len(fields) - 1 for line in lines):
        raise DataError(
            f"{path}:{start}: a quote that opens here makes one row of {len(lines)} lines, each of which looks like a "
            f"row of its own; {_UNQUOTED}"
        )
