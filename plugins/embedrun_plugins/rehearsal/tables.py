"""Rehearsals of the sources of rows, `pairs` and `hub`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.artifacts import Split
from embedrun.context import Resolver
from embedrun.errors import EmbedrunError
from embedrun_plugins.rehearsal.changing import changed
from embedrun_plugins.rehearsal.rows import ROWS, few, first_rows, made_up_rows
from embedrun_plugins.rehearsal.telling import tell
from embedrun_plugins.sources.pairs import Pairs
from embedrun_plugins.sources.tables import Table, open_table

if TYPE_CHECKING:
    from embedrun_plugins.sources.hub import Hub


def few_pairs(stage: Pairs, folder: Path) -> Pairs:
    """Return the source on a few rows of each of its files, made up where a file is not here."""
    files, splits, count = [], [], 0
    formats = stage.format if isinstance(stage.format, tuple) else (stage.format,) * len(stage.files())
    for number, ((split, path), kind) in enumerate(zip(stage.files(), formats, strict=True)):
        files.append(folder / f"{number}.jsonl")
        splits.append(split)
        if path.exists():
            rows = first_rows(open_table(path, kind, stage.delimiter), stage.columns, files[-1])
            tell(folder, f"{rows} rows of {path.name}")
        else:
            rows = made_up_rows(stage.columns, files[-1], number * ROWS)
            tell(folder, f"{path} is not here: {rows} made-up rows stand in", unsure=True)
        count += rows
    read = {"path": tuple(files), "split": tuple(splits), "format": "jsonl", "delimiter": None}
    return changed(stage, **read, holdout=few(stage.holdout, count))


def few_of_hub(stage: Hub, folder: Path) -> Pairs:
    """Return a source of a few rows of the data set where it is cached, else of made-up ones with its columns."""
    splits = [split for split, _ in stage.hub_splits()]
    files = {split: folder / f"{split}.jsonl" for split in splits}
    try:
        for split, table in _cached(stage):
            tell(folder, f"{first_rows(table, stage.columns, files[split])} rows of {stage.dataset} ({split})")
    except EmbedrunError:
        for place, split in enumerate(splits):
            made_up_rows(stage.columns, files[split], place * ROWS)
        tell(folder, f"{stage.dataset} is not cached here: made-up rows stand in", unsure=True)
    paths, holdout = tuple(files.values()), few(stage.holdout, ROWS)
    return Pairs(path=paths, split=tuple(splits), format="jsonl", columns=stage.columns, holdout=holdout)


def _cached(stage: Hub) -> Iterator[tuple[Split, Table]]:
    return stage.resolve(Resolver(offline=True)).tables(offline=True)
