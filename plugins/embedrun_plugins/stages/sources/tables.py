"""Reading files of rows: JSON, JSON lines, CSV, TSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.opened_files import existing, lines, not_utf8, opened, whole_text

Format = Literal["json", "jsonl", "csv", "tsv", "parquet"]

_SUFFIXES: Mapping[str, Format] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_LOOKED_AT = 100
"""JSON rows whose keys are taken as the table's columns, since a row may leave some out."""
_SHAPES = "allowed: a list of objects, an object that holds one such list, or one object per line"


class Row(NamedTuple):
    """One row: its number in the file from 0, its line from 1 where the file is text, and its values by column."""

    number: int
    line: int | None
    values: Mapping[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows with named columns. `read` yields them in order; columns that are not asked for may be left out."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Collection[str]], Iterator[Row]]

    @property
    def label(self) -> str:
        """The file's name without its folders, as notes give it: they must not depend on where the data lies."""
        return Path(self.name).name

    def where(self, row: Row) -> str:
        """Say where a row stands, for a message."""
        return f"{self.name}:{row.line} (row {row.number})" if row.line else f"{self.name}: row {row.number}"


def format_of(path: Path) -> Format | None:
    """Return the format that a file's name tells, `.gz` aside."""
    name = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return _SUFFIXES.get(name.suffix.lower())


def open_table(path: Path, kind: Format | None = None, delimiter: str | None = None) -> Table:
    """Open a file of rows; the head is read at once, the rest as rows are asked for.

    Raises DataError, also while rows are read, with the file, line and column of what cannot be read.
    """
    existing(path)
    kind = kind or format_of(path)
    match kind:
        case "csv" | "tsv":
            return _delimited(path, delimiter or ("\t" if kind == "tsv" else ","))
        case "jsonl":
            return _of_objects(path, _json_lines(path))
        case "json":
            return _of_objects(path, _json_objects(path))
        case "parquet":
            return _parquet(path)
    raise DataError(f"{path}: what format is this? Name it: format: one of {', '.join(get_args(Format))}")


def _delimited(path: Path, delimiter: str) -> Table:
    records = _records(path, delimiter)
    _, header = next(records, (0, []))
    columns = tuple(name.strip() for name in header)
    if not columns:
        raise DataError(f"{path}: is empty; the first line must name the columns")
    for index, name in enumerate(columns):
        if name and name in columns[:index]:
            raise DataError(f"{path}:1: the column '{name}' is there twice; rename one of them")

    def read(_: Collection[str]) -> Iterator[Row]:
        for number, (line, fields) in enumerate(records):
            if len(fields) != len(columns):
                raise DataError(
                    f"{path}:{line} (row {number}): has {len(fields)} fields, but the header names {len(columns)}; "
                    f"a field that holds {delimiter!r} or a line break must be in double quotes"
                )
            yield Row(number, line, dict(zip(columns, fields, strict=True)))

    return Table(str(path), columns, read)


def _records(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record starts, and its fields; blank lines are left out."""
    csv.field_size_limit(2**31 - 1)  # Python's default refuses fields above 131,072 characters
    start = 1
    with opened(path) as stream, io.TextIOWrapper(stream, "utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            for fields in reader:
                if fields:
                    yield start, fields
                start = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}:{start}: the record that starts here cannot be read: {error}; "
                'a field with quotes in it must be in double quotes, with each quote doubled ("")'
            ) from error
        except UnicodeDecodeError as error:
            raise not_utf8(path) from error


def _of_objects(path: Path, objects: Iterator[tuple[int, Any]]) -> Table:
    rows = _rows(path, objects)
    head = list(islice(rows, _LOOKED_AT))
    columns = tuple(dict.fromkeys(key for row in head for key in row.values))
    return Table(str(path), columns, lambda _: chain(head, rows))


def _rows(path: Path, objects: Iterator[tuple[int, Any]]) -> Iterator[Row]:
    for number, (line, value) in enumerate(objects):
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line} (row {number}): is not a JSON object with named values; {_SHAPES}")
        yield Row(number, line, value)


def _json_lines(path: Path) -> Iterator[tuple[int, Any]]:
    for number, line in lines(path):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{path}:{number}:{error.colno}: not JSON: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise DataError(f"{path}:{number}: not usable JSON: {error}") from error


def _json_objects(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield the objects of a list, of the list that a lone object holds, or of a sequence, with their lines."""
    text = whole_text(path)
    values = _sequence(path, text, text.lstrip()[:1] == "[")
    first = list(islice(values, 2))
    held = [v for v in first[0][1].values() if _is_rows(v)] if len(first) == 1 and isinstance(first[0][1], dict) else []
    if len(held) == 1:
        yield from ((first[0][0], row) for row in held[0])
    else:
        yield from first
        yield from values


def json_value(path: Path) -> Any:
    """Return the one value of a JSON file; raises DataError, with line and column, where it is none."""
    try:
        return json.loads(whole_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not usable JSON: {error}") from error


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _sequence(path: Path, text: str, listed: bool) -> Iterator[tuple[int, Any]]:
    """Parse one value after the other, so that only the text and one row are held."""
    decoder = json.JSONDecoder()
    position = line_start = _skip(text, 0)
    line = 1 + text.count("\n", 0, position)
    if listed:
        position = _skip(text, position + 1)
    while position < len(text) and not (listed and text[position] == "]"):
        line += text.count("\n", line_start, position)
        line_start = position
        try:
            value, end = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            raise DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}:{line}: not usable JSON: {error}") from error
        yield line, value
        position = _separated(path, text, _skip(text, end)) if listed else _skip(text, end)
    if listed and _skip(text, position + 1) < len(text):
        raise _misplaced(path, text, _skip(text, position + 1), "more text after the list's end")
    if listed and position >= len(text):
        raise _misplaced(path, text, len(text), "the list is not closed; is the file cut off?")


def _separated(path: Path, text: str, position: int) -> int:
    """Step over the comma between a list's items; raises DataError where there is none."""
    if position >= len(text) or text[position] == "]":
        return position
    if text[position] != ",":
        raise _misplaced(path, text, position, "expecting ',' between two rows")
    following = _skip(text, position + 1)
    if text[following : following + 1] == "]":
        raise _misplaced(path, text, position, "a comma before the list's end")
    return following


def _misplaced(path: Path, text: str, position: int, what: str) -> DataError:
    error = json.JSONDecodeError(what, text, min(position, len(text)))
    return DataError(f"{path}:{error.lineno}:{error.colno}: not JSON: {what}")


def _skip(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a Parquet file: {str(error).splitlines()[0]}") from error
    columns = tuple(file.schema_arrow.names)

    def read(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        try:
            for batch in file.iter_batches(batch_size=1024, columns=[c for c in columns if c in wanted]):
                for values in batch.to_pylist():
                    yield Row(number, None, values)
                    number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read after row {number}: {str(error).splitlines()[0]}") from error
        finally:
            file.close()

    return Table(str(path), columns, read)
