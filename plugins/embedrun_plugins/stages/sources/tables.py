"""Reading files of rows: JSON, JSON lines, CSV, TSV and Parquet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from embedrun.errors import DataError
from embedrun_plugins.stages.sources.delimited import columns_and_records
from embedrun_plugins.stages.sources.json_values import json_lines, json_objects
from embedrun_plugins.stages.sources.opened_files import existing, refuse_packed

Format = Literal["json", "jsonl", "csv", "tsv", "parquet"]

_SUFFIXES: Mapping[str, Format] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods", ".numbers")
_LOOKED_AT = 100
"""JSON rows whose keys are taken as the table's columns, since a row may leave some out."""
_SHAPES = "allowed: a list of objects, an object that holds one such list, or one object per line"


class Row(NamedTuple):
    """One row: its number in the file from 0, its line from 1 where the file is text, and its values by column."""

    number: int
    line: int | None
    values: Mapping[str, Any]

    def value(self, name: str) -> Any:
        """Return what a column holds, or an object in it by a name such as set.query; None where there is nothing."""
        return _value(self.values, name)


def _value(values: Mapping[str, Any], name: str) -> Any:
    if name in values or "." not in name:
        return values.get(name)
    outer, _, inner = name.partition(".")
    held = values.get(outer)
    return _value(held, inner) if isinstance(held, dict) else None


@dataclass(frozen=True)
class Table:
    """Rows with named columns. `read` yields them in order; columns that are not asked for may be left out."""

    name: str
    columns: tuple[str, ...]
    read: Callable[[Collection[str]], Iterator[Row]]
    nested: tuple[str, ...] = ()
    """Values inside objects, by the names of column and key with a dot between, such as set.query."""
    flat: bool = False
    """Whether a cell can only hold one text, as in CSV."""

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


def open_table(path: Path, kind: Format | None = None, delimiter: str | None = None, *, quoting: bool = True) -> Table:
    """Open a file of rows; the head is read at once, the rest as rows are asked for.

    `delimiter` and `quoting`, whether double quotes enclose fields, are for CSV and TSV. Raises DataError, also while
    rows are read, with the file, line and column of what cannot be read.
    """
    existing(path)
    kind = kind or format_of(path)
    if kind != "parquet":
        refuse_packed(path)
    match kind:
        case "csv" | "tsv":
            return _delimited(path, delimiter or ("\t" if kind == "tsv" else None), quoting=quoting)
        case "jsonl":
            return _of_objects(path, json_lines(path))
        case "json":
            return _of_objects(path, json_objects(path))
        case "parquet":
            return _parquet(path)
    if path.suffix.lower() in _WORKBOOKS:
        raise DataError(f"{path}: is a workbook; save it as CSV UTF-8, and name that file")
    raise DataError(f"{path}: what format is this? Name it: format: one of {', '.join(get_args(Format))}")


def _delimited(path: Path, delimiter: str | None, *, quoting: bool) -> Table:
    columns, records = columns_and_records(path, delimiter, quoting=quoting)

    def read(_: Collection[str]) -> Iterator[Row]:
        for number, (line, fields) in enumerate(records):
            yield Row(number, line, dict(zip(columns, fields, strict=True)))

    return Table(str(path), columns, read, flat=True)


def _of_objects(path: Path, objects: Iterator[tuple[int, Any]]) -> Table:
    rows = _rows(path, objects)
    head = list(islice(rows, _LOOKED_AT))
    columns = tuple(dict.fromkeys(key for row in head for key in row.values))
    nested = tuple(dict.fromkeys(name for row in head for name in _nested(row.values)))
    return Table(str(path), columns, lambda _: chain(head, rows), nested)


def _nested(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of values inside objects, however deep."""
    for name, value in values.items():
        for key in value if isinstance(value, dict) else ():
            yield from (f"{name}.{inner}" for inner in (key, *_nested({key: value[key]})))


def _rows(path: Path, objects: Iterator[tuple[int, Any]]) -> Iterator[Row]:
    for number, (line, value) in enumerate(objects):
        if not isinstance(value, dict):
            raise DataError(f"{path}:{line} (row {number}): is not a JSON object with named values; {_SHAPES}")
        yield Row(number, line, value)


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: is not a Parquet file: {str(error).splitlines()[0]}") from error
    columns = tuple(file.schema_arrow.names)
    nested = tuple(name for field in file.schema_arrow for name in _arrow_names(field))

    def read(wanted: Collection[str]) -> Iterator[Row]:
        number = 0
        wanted = {*wanted, *(name.partition(".")[0] for name in wanted)}
        try:
            for batch in file.iter_batches(batch_size=1024, columns=[c for c in columns if c in wanted]):
                for values in batch.to_pylist():
                    yield Row(number, None, values)
                    number += 1
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read after row {number}: {str(error).splitlines()[0]}") from error
        finally:
            file.close()

    return Table(str(path), columns, read, nested)


def _arrow_names(field: Any, before: str = "") -> Iterator[str]:
    """Yield the names of values inside a column of structures, however deep."""
    import pyarrow as pa

    for inner in field.type if pa.types.is_struct(field.type) else ():
        name = f"{before or field.name}.{inner.name}"
        yield name
        yield from _arrow_names(inner, name)
