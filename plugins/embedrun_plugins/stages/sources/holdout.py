"""Holding queries out of training, so that no passage that is trained on is also asked about in a test."""

from __future__ import annotations

import math
import random
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from embedrun.artifacts import SPLITS, Split
from embedrun.errors import DataError
from embedrun_plugins.stages.texts.keys import UnionFind, near_key

if TYPE_CHECKING:
    from embedrun_plugins.stages.sources.relations import Relations


def _share_or_number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("must be a share between 0 and 1, or a whole number of queries")  # noqa: TRY004  # pydantic's
    if not 0 <= value < math.inf or (isinstance(value, float) and value >= 1 and not value.is_integer()):
        raise ValueError("must be a share between 0 and 1, or a whole number of queries")
    if isinstance(value, float) and value == 1:
        raise ValueError("1.0 would hold everything out; write 1 for one query, or a share below 1")
    return int(value) if value >= 1 else value


ShareOrNumber = Annotated[int | float, BeforeValidator(_share_or_number, json_schema_input_type=float)]


class Holdout(BaseModel):
    """What is held out of training."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    test: ShareOrNumber = Field(0, ge=0)
    """Queries held out for the comparison at the end: a share (0.1) or a number (700). 0 holds none out."""
    dev: ShareOrNumber = Field(0, ge=0)
    """Queries held out for choosing a checkpoint during training: a share or a number. 0 holds none out."""
    by: Literal["document", "row"] = "document"
    """What stays together.

    document: all queries that share a passage, directly or through others, so that no test passage is trained on;
    texts that differ only in case, white space and punctuation count as one. The number is reached as nearly as whole
    groups allow. row: nothing, as in many examples (in a BEIR folder, a query's judgements); passages then leak from
    train into test, and how much is reported."""

    def splits(self) -> frozenset[Split]:
        """Name the splits that are held out."""
        return frozenset(split for split in SPLITS if split != "train" and getattr(self, split))

    def faults(self, given: frozenset[Split]) -> Iterable[str]:
        """Say what is wrong, also with taking it from data of the splits `given`."""
        if not self.splits():
            yield "holdout: holds nothing out; give 'test' or 'dev' a share or a number, or leave holdout out"
        if sum(share for share in (self.test, self.dev) if share < 1) >= 1:
            yield "holdout: the shares of 'test' and 'dev' leave nothing to train on"
        if "train" not in given:
            yield f"holdout: takes from the train split, but the data is all {', '.join(sorted(given))}"
        for split in sorted(given & self.splits()):
            yield f"holdout.{split}: the data brings a {split} split already; hold none out, or leave that data out"


def held_out_splits(holdout: Holdout | None) -> frozenset[Split]:
    return holdout.splits() if holdout else frozenset()


def _test_of(value: Any) -> Any:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return {"test": value}
    if not isinstance(value, (Mapping, Holdout, NoneType)):
        raise ValueError("must be a share of the queries (0.3), a number of them (700), or {test: 0.1, dev: 0.1}")  # noqa: TRY004  # pydantic takes no other
    return value


HoldoutField = Annotated[Holdout | None, BeforeValidator(_test_of, json_schema_input_type=float | Holdout | None)]
"""A share or a number of queries held out as the test split, or a mapping with `test`, `dev` and `by`."""


@dataclass(frozen=True)
class RowGroups:
    """What stays together: the group of each row (-1 where it is not to be divided), and each group's size."""

    of_row: array[int]
    sizes: array[int]


def hold_out(
    holdout: Holdout, groups: RowGroups, row_splits: array[int], *, seed: int, unit: str | None = None
) -> None:
    """Move whole groups of rows to test and dev, changing `row_splits` (an index into SPLITS for each row) in place.

    `unit` is what messages call what is counted; by default queries, or rows where rows are held out. Raises DataError
    where so much cannot be held out.
    """
    order = [group for group, size in enumerate(groups.sizes) if size]
    random.Random(seed).shuffle(order)  # noqa: S311  # no secret depends on it
    total = sum(groups.sizes)
    unit = unit or ("rows" if holdout.by == "row" else "queries")
    targets: dict[Split, int] = {"test": _target(holdout.test, total), "dev": _target(holdout.dev, total)}
    if sum(targets.values()) >= total:
        raise DataError(
            f"holdout: {sum(targets.values())} of {total} {unit} cannot be held out; some must be left to train on"
        )
    moved = array("b", bytes(len(groups.sizes)))
    for split, target in targets.items():
        order = _take(order, groups.sizes, target, moved, split, unit)
    if not order:
        raise DataError(f"holdout: nothing is left to train on, since {unit} that share or repeat a text stay together")
    for row, group in enumerate(groups.of_row):
        if group >= 0 and moved[group]:
            row_splits[row] = moved[group]


def hold_out_rows(
    holdout: Holdout, relations: Relations, queries: Iterable[str], documents: Iterable[str], *, seed: int
) -> None:
    """Hold rows out, kept together as the holdout says; `queries` and `documents` are their texts."""
    if holdout.by == "row":
        groups = by_row(relations.row_splits)
    else:
        groups = by_document(relations, queries=map(near_key, queries), documents=map(near_key, documents))
    hold_out(holdout, groups, relations.row_splits, seed=seed)


def _target(wanted: float, total: int) -> int:
    return max(1, round(wanted * total)) if 0 < wanted < 1 else int(wanted)


def _take(order: list[int], sizes: array[int], target: int, moved: array[int], split: Split, unit: str) -> list[int]:
    """Mark whole groups, in order, as long as they fit; return the others."""
    left: list[int] = []
    missing = target
    for group in order:
        if sizes[group] > missing:
            left.append(group)
        else:
            missing -= sizes[group]
            moved[group] = SPLITS.index(split)
    if missing == target > 0:
        smallest = min(sizes[group] for group in left) if left else 0
        raise DataError(
            f"holdout.{split}: {target} {unit} cannot be held out: {unit} that share or repeat a text stay together, "
            f"and the smallest such group has {smallest}; hold out more, or split by row and accept the leak (by: row)"
        )
    return left


def by_row(row_splits: array[int]) -> RowGroups:
    """Let every row of the train split go its own way."""
    train = array("q", (row if split == 0 else -1 for row, split in enumerate(row_splits)))
    return RowGroups(train, array("q", (int(row >= 0) for row in train)))


def by_document(relations: Relations, *, queries: Iterable[int], documents: Iterable[int]) -> RowGroups:
    """Keep rows of the train split together that share a query or a document, directly or through others.

    `queries` and `documents` hold the near key of each; equal keys count as one query or document.
    """
    links, row_splits = relations.pairs, relations.row_splits
    query_nodes, count = _nodes(queries, 0)
    document_nodes, count = _nodes(documents, count)
    groups = UnionFind(count)
    for query, document in zip(links.queries, links.documents, strict=True):
        groups.join(query_nodes[query], document_nodes[document])
    of_row = array("q", [-1]) * len(row_splits)
    sizes = array("q", bytes(8 * count))
    counted = bytearray(len(query_nodes))
    for row, query in zip(links.rows, links.queries, strict=True):
        if row_splits[row] == 0:
            of_row[row] = group = groups.root(query_nodes[query])
            sizes[group] += not counted[query]
            counted[query] = 1
    return RowGroups(of_row, sizes)


def _nodes(keys: Iterable[int], start: int) -> tuple[array[int], int]:
    """Number the distinct keys from `start`; return each one's number and the next free one."""
    numbers: dict[int, int] = {}
    nodes = array("q", (numbers.setdefault(key, start + len(numbers)) for key in keys))
    return nodes, start + len(numbers)
