"""Questions and the passages that answer them, from files of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from embedrun.artifacts import SPLITS, RetrievalSet, Role, Split
from embedrun.context import Context, InputPath, Resolver, Unkeyed
from embedrun.errors import DataError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.sources.columns import Columns, complete
from embedrun_plugins.stages.sources.holdout import Holdout, HoldoutField, held_out_splits
from embedrun_plugins.stages.sources.tables import Format, Table, format_of, open_table

ANY_COLUMN: frozenset[Column] = frozenset({"positive", "negative", "score", "teacher_score"})
"""What a source answers whose columns are only known once it is read."""
_HEAD_LIMIT = 64 * 2**20
"""Bytes; a larger JSON file is not read just to see its columns."""


def _in_order(path: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """Return split and file for each file of a mapping, in the order train, dev, test."""
    ordered = []
    for split in sorted(path, key=lambda name: SPLITS.index(name) if name in SPLITS else len(SPLITS)):
        files = path[split] if isinstance(path[split], (list, tuple)) else [path[split]]
        ordered += [(split, file) for file in files]
    return ordered


class Pairs(Source):
    """Rows of questions and passages in JSON, JSON lines, CSV, TSV or Parquet files, packed with gzip or not.

    White space around texts is removed. Rows with an empty side are dropped and counted. Equal passages become one
    document, relevant for every question that points at a copy; equal questions become one query. Given negatives are
    documents of the corpus like any other; one that is relevant for its own question, or for a question held out, is
    not trained on. FlagEmbedding's files ({"query", "pos": […], "neg": […]}) are read as they are.
    """

    type: Literal["pairs"] = "pairs"
    path: Annotated[InputPath | tuple[InputPath, ...] | dict[Split, InputPath | tuple[InputPath, ...]], Unkeyed] = (
        Field()
    )
    """A file, a list of files, or files by split: {train: a.jsonl, dev: b.jsonl, test: [c.jsonl, d.jsonl]}."""
    split: Split | tuple[Split, ...] = "train"
    """Split that the rows belong to before a holdout takes its part; a list has one for each file.

    Filled in where `path` gives files by split."""
    format: Format | tuple[Format, ...] | None = None
    """Format of all files, or a list with one for each; by default what each file's name ends in."""
    delimiter: str | None = Field(None, pattern=r'^[^"\r\n]$')
    """Character between fields of CSV and TSV files; by default a tab for TSV, and for CSV a comma, or the semicolon,
    tab or bar of a first line without commas."""
    quoting: bool = Field(True, exclude_if=bool)
    """Whether double quotes enclose fields of CSV and TSV files. False where quotes are only characters of the text, as
    in many TSV files."""
    columns: Columns = Columns()
    """Which column is what: {anchor: question, positive: context, …}; by default guessed from well-known names."""
    holdout: HoldoutField = None
    """Queries held out of the train split: a share (0.1) or a number (700) for the test split, or a mapping with
    `test`, `dev` and `by`. By default none."""

    @field_validator("path", mode="before")
    @classmethod
    def _must_name_files(cls, path: Any) -> Any:
        files = [file for _, file in _in_order(path)] if isinstance(path, Mapping) else path
        listed = list(files) if isinstance(files, (list, tuple)) else [files]
        if not listed or not all(isinstance(file, (str, Path)) and str(file) for file in listed):
            raise ValueError("must be a file, a list of files, or files by split: {train: …, test: …}")
        unknown = [key for key in path if key not in SPLITS] if isinstance(path, Mapping) else []
        if unknown:
            raise ValueError(f"there is no split '{unknown[0]}'; allowed: {', '.join(SPLITS)}")
        return path

    @model_validator(mode="before")
    @classmethod
    def _splits_from_path(cls, value: Any) -> Any:
        """Put the splits that `path` names into `split`, which unlike the path is part of the stage's key."""
        if not isinstance(value, Mapping) or not isinstance(value.get("path"), Mapping):
            return value
        splits = [split for split, _ in _in_order(value["path"])]
        if list(value.get("split", splits)) != splits:
            raise ValueError("'path' gives files by split already; leave 'split' out")
        return {**value, "split": splits}

    def files(self) -> list[tuple[Split, Path]]:
        """Return every file with its split, in the order in which they are read."""
        if isinstance(self.path, dict):
            return _in_order(self.path)
        paths = self.path if isinstance(self.path, tuple) else (self.path,)
        splits = self.split if isinstance(self.split, tuple) else (self.split,) * len(paths)
        return list(zip(splits, paths, strict=True))

    def inputs(self) -> Iterable[Path]:
        if isinstance(self.path, dict):
            return [path for _, path in _in_order(self.path)]
        return self.path if isinstance(self.path, tuple) else (self.path,)

    def resolve(self, resolver: Resolver) -> Self:  # noqa: ARG002  # the contract gives it
        """Fix the formats, which otherwise depend on the files' names."""
        formats = [format_of(path) for path in self.inputs()]
        if self.format or None in formats:
            return self
        return self.model_copy(update={"format": formats[0] if len(set(formats)) == 1 else tuple(formats)})

    def _formats(self) -> list[Format | None]:
        """Return what is declared of each file's format."""
        return list(self.format) if isinstance(self.format, tuple) else [self.format] * len(list(self.inputs()))

    def faults(self) -> Iterable[str]:
        yield from self.columns.faults()
        if isinstance(self._columns_seen, DataError):
            yield str(self._columns_seen)
        count = len(list(self.inputs()))
        if len(self._formats()) != count:
            yield f"format: names {len(self._formats())} formats for {count} files"
        if isinstance(self.split, tuple) and not isinstance(self.path, dict) and len(self.split) != count:
            yield f"split: names {len(self.split)} splits for {count} files"
        if self.holdout:
            yield from self.holdout.faults(self._file_splits())

    def _file_splits(self) -> frozenset[Split]:
        return frozenset(self.split if isinstance(self.split, tuple) else (self.split,))

    def columns_given(self) -> frozenset[Column]:
        return self._columns_seen.given() if isinstance(self._columns_seen, Columns) else ANY_COLUMN

    @cached_property
    def _columns_seen(self) -> Columns | DataError | None:
        """Look at the files' heads; None where the columns are not named and looking is not cheap.

        An error is what `run` would raise, too.
        """
        first: Columns | None = None
        for path, kind in zip(self.inputs(), self._formats(), strict=False):
            try:
                seen = self._columns_of(path, kind or format_of(path))
            except DataError as error:
                return error
            first = first or seen
        return first or (self.columns if self.columns.anchor and self.columns.positive else None)

    def _columns_of(self, path: Path, kind: Format | None) -> Columns | None:
        """Read a file's first rows; None where it is not there or too large for that."""
        if not _is_cheap_to_open(path, kind):
            return None
        table = open_table(path, kind, self.delimiter, quoting=self.quoting)
        if not table.columns:
            raise DataError(f"{table.name}: holds no rows")
        columns = complete(self.columns, table.columns, table.name, table.nested)
        from embedrun_plugins.stages.sources.row_reader import must_be_texts

        must_be_texts(table, columns)
        return columns

    def head(self, count: int) -> Mapping[Role, Sequence[str]]:
        """Return the texts of about so many of the first rows; of none where that is not cheap."""
        from embedrun_plugins.stages.sources.row_reader import head_texts

        kinds = [kind or format_of(path) for path, kind in zip(self.inputs(), self._formats(), strict=True)]
        cheap = all(map(_is_cheap_to_open, self.inputs(), kinds))
        return head_texts([table for _, table in self._tables()] if cheap else [], self.columns, count)

    def splits_given(self) -> frozenset[Split]:
        return self._file_splits() | held_out_splits(self.holdout)

    def rehearsal(self, rehearsal: Rehearsal) -> Pairs:
        tables = (
            (split, path.name, open_table(path, kind, self.delimiter, quoting=self.quoting))
            if path.exists()
            else (split, f"{path} is not here", None)
            for (split, path), kind in zip(self.files(), self._formats(), strict=True)
        )
        return few_rows(rehearsal, tables, self.columns, self.holdout)

    def run(self, ctx: Context) -> RetrievalSet:
        from embedrun_plugins.stages.sources.row_set import make_set

        return make_set(ctx, self._tables(), self.columns, self.holdout)

    def _tables(self) -> Iterator[tuple[Split, Table]]:
        for (split, path), kind in zip(self.files(), self._formats(), strict=True):
            yield split, open_table(path, kind, self.delimiter, quoting=self.quoting)


def _is_cheap_to_open(path: Path, kind: Format | None) -> bool:
    if not path.is_file() or (kind == "json" and path.stat().st_size > _HEAD_LIMIT):
        return False
    return kind != "parquet" or find_spec("pyarrow") is not None


def few_rows(
    rehearsal: Rehearsal, tables: Iterable[tuple[Split, str, Table | None]], columns: Columns, holdout: Holdout | None
) -> Pairs:
    """Return a source of a few rows of each table, with its split and name; of made-up rows in the place of None.

    The name of what is missing says why, as in "faq.csv is not here".
    """
    from embedrun_plugins.stages.sources.rehearsal_rows import ROWS, first_rows, held_out_of, made_up_rows

    files, splits, trained = [], [], 0
    for number, (split, name, table) in enumerate(tables):
        file = rehearsal.folder / f"{number}.jsonl"
        if table:
            rows = first_rows(table, columns, file)
            rehearsal.note(f"{rows} rows of {name}")
        else:
            rows = made_up_rows(columns, file, number * ROWS)
            rehearsal.note(f"{name}: {rows} made-up rows are used instead", unsure=True)
        files.append(file)
        splits.append(split)
        trained += rows if split == "train" else 0
    held_out = held_out_of(trained, holdout)
    return Pairs(path=tuple(files), split=tuple(splits), format="jsonl", columns=columns, holdout=held_out)
