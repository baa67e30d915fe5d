"""Reading the files of a folder in BEIR layout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embedrun.artifacts import Document, Query, Split
from embedrun.errors import DataError, suggest
from embedrun_plugins.stages.sources.columns import Columns
from embedrun_plugins.stages.sources.identified_set import IdentifiedSet
from embedrun_plugins.stages.sources.json_values import json_lines
from embedrun_plugins.stages.sources.opened_files import lines
from embedrun_plugins.stages.sources.row_reader import RowReader
from embedrun_plugins.stages.sources.tables import open_table

_FIELDS = 3
_KEYS = {"query-id", "corpus-id", "score"}
_NOTHING: Mapping[str, Any] = {}


def qrels_lines(file: Path) -> Iterator[tuple[int, str, str, float]]:
    """Yield line number, query id, document id and score of a file of judgements: TSV, or JSON lines by its name.

    TSV may have a header. Raises DataError, naming the line, where one cannot be read.
    """
    if file.suffix == ".jsonl":
        yield from _qrels_objects(file)
        return
    for number, line in lines(file):
        if not line.strip():
            continue
        fields = line.split("\t")
        if len(fields) != _FIELDS:
            hint = "; of TREC's four fields, leave out the second" if len(fields) == _FIELDS + 1 else ""
            raise DataError(
                f"{file}:{number}: has {len(fields)} fields; a line is query-id, corpus-id, score, by tabs{hint}"
            )
        try:
            score = float(fields[2])
        except ValueError as error:
            if number == 1:
                continue
            raise DataError(f"{file}:{number}: the score must be a number, not {fields[2]!r}") from error
        if not math.isfinite(score):
            raise DataError(f"{file}:{number}: the score must be a finite number, not {fields[2]!r}")
        yield number, fields[0], fields[1], score


def _qrels_objects(file: Path) -> Iterator[tuple[int, str, str, float]]:
    for number, value in json_lines(file):
        if not isinstance(value, dict) or not _KEYS.issubset(value):
            raise DataError(f"{file}:{number}: must be an object with query-id, corpus-id and score")
        score = value["score"]
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(score):
            raise DataError(f"{file}:{number}: the score must be a finite number, not {score!r}")
        yield number, str(value["query-id"]), str(value["corpus-id"]), float(score)


class BeirReader:
    """Reads the files of a folder, in this order: corpus, queries, qrels, negatives.

    Raises DataError, naming file and line, for what cannot be read and for ids that collide or are not there.
    """

    def __init__(self, *, drop_unknown: bool) -> None:
        self.collected = IdentifiedSet()
        self.drop_unknown = drop_unknown
        self.dropped = 0

    def read_corpus(self, file: Path) -> None:
        for where, id_, title, text, metadata in _texts(file):
            self.collected.add_document(where, Document(id_, text, title, metadata))
        if not self.collected.documents:
            raise DataError(f"{file}: holds no documents")

    def read_queries(self, file: Path) -> None:
        for where, id_, _, text, metadata in _texts(file):
            self.collected.add_query(where, Query(id_, text, metadata))
        if not self.collected.queries:
            raise DataError(f"{file}: holds no queries with text")

    def read_qrels(self, split: Split, file: Path) -> None:
        for query, document, score in self._known_lines(file):
            self.collected.judge(split, query, document, score)
        if split not in self.collected.relations.splits():
            raise DataError(f"{file}: holds no judgement of a query and a document that are there")

    def read_negatives(self, file: Path) -> None:
        for query, document, score in self._known_lines(file):
            self.collected.reject(query, document, score)

    def _known_lines(self, file: Path) -> Iterator[tuple[int, int, float]]:
        """Yield the numbers of query and document, and the score, of lines that name what is there."""
        for line, query_id, document_id, score in qrels_lines(file):
            query = self.collected.query_numbers.get(query_id)
            document = self.collected.document_numbers.get(document_id)
            if query is not None and document is not None:
                yield query, document, score
                continue
            self.dropped += 1
            if not self.drop_unknown and query_id not in self.collected.empty_queries:
                what = f"query '{query_id}'" if query is None else f"document '{document_id}'"
                raise DataError(f"{file}:{line}: there is no {what}; 'unknown_ids: drop' leaves such lines out")


def _texts(file: Path) -> Iterator[tuple[str, str, str, str, Mapping[str, Any]]]:
    """Yield place, id, title, text and metadata of each line."""
    table = open_table(file, "jsonl")
    reader = RowReader(table, Columns())
    for row in table.read(()):
        where = table.where(row)
        title, text = (reader.checked(row, name, row.values.get(name)) for name in ("title", "text"))
        metadata = row.values.get("metadata")
        if metadata is not None and not isinstance(metadata, dict):
            raise DataError(f"{where}: 'metadata' must be an object")
        yield where, _id(where, row.values), title, text, reader.plain(row, "metadata", metadata) or _NOTHING


def _id(where: str, values: Mapping[str, Any]) -> str:
    id_ = values.get("_id")
    if isinstance(id_, bool) or not isinstance(id_, (str, int)) or id_ == "":
        hint = "" if "_id" in values else suggest("_id", values)
        raise DataError(f"{where}: needs an '_id' of text{hint}")
    return checked_id(where, str(id_))


def checked_id(where: str, id_: str) -> str:
    """Return an id; raises DataError where it would break the files of judgements and runs."""
    if id_.split() != [id_]:
        raise DataError(f"{where}: the id {id_!r} has white space, at which TREC run files break")
    return id_
