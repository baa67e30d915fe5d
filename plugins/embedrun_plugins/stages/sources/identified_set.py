"""Collecting queries, documents and judgements that bring ids of their own."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

from embedrun.artifacts import Document, Query, Split
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.sources.holdout import Holdout, hold_out_rows
from embedrun_plugins.stages.sources.relations import Relations
from embedrun_plugins.stages.sources.set_writer import SetContents
from embedrun_plugins.stages.texts.keys import text_key

_SHOWN = 60
"""Characters of a text in a message."""


@dataclass
class IdentifiedSet:
    """Queries and documents by their ids, numbered in the order in which they come; equal texts stay apart."""

    documents: list[Document] = field(default_factory=list)
    queries: list[Query] = field(default_factory=list)
    relations: Relations = field(default_factory=Relations)
    document_numbers: dict[str, int] = field(default_factory=dict)
    query_numbers: dict[str, int] = field(default_factory=dict)
    empty_queries: set[str] = field(default_factory=set)
    """Ids of queries that were left out since they have no text."""
    _rows: dict[tuple[Split, int], int] = field(default_factory=dict)

    def add_document(self, where: str, document: Document) -> None:
        """Add a document; raises DataError where its id stands for another text already."""
        number = self.document_numbers.setdefault(document.id, len(self.documents))
        if number == len(self.documents):
            self.documents.append(document)
        else:
            _must_equal(where, document.id, self.documents[number].full_text, document.full_text)

    def add_query(self, where: str, query: Query) -> None:
        """Add a query, unless it has no text; raises DataError where its id stands for another text already."""
        if not query.text.strip():
            self.empty_queries.add(query.id)
            return
        number = self.query_numbers.setdefault(query.id, len(self.queries))
        if number == len(self.queries):
            self.queries.append(query)
        else:
            _must_equal(where, query.id, self.queries[number].text, query.text)

    def judge(self, split: Split, query: int, document: int, score: float) -> None:
        """Add a judgement. All of a query's judgements in a split count as one row."""
        row = self._rows.get((split, query))
        if row is None:
            row = self._rows[split, query] = self.relations.add_row(split)
        self.relations.pairs.add(row, query, document, score)

    def reject(self, query: int, document: int, score: float) -> None:
        """Add a given negative, unless its query is not trained on."""
        if (row := self._rows.get(("train", query))) is not None:
            self.relations.negatives.add(row, query, document, score)

    def contents(self, ctx: Context, holdout: Holdout | None) -> SetContents:
        """Return all that was collected, after the holdout."""
        if self.empty_queries:
            ctx.note("empty_queries_dropped", len(self.empty_queries))
        if empty := sum(not document.full_text for document in self.documents):
            ctx.note("empty_documents", empty)
        if holdout:
            queries = (query.text for query in self.queries)
            documents = (document.full_text for document in self.documents)
            hold_out_rows(holdout, self.relations, queries, documents, seed=ctx.seed)
        return SetContents(
            relations=self.relations,
            query_ids=list(self.query_numbers),
            document_ids=list(self.document_numbers),
            queries=self.queries,
            documents=self.documents,
            document_keys=array("Q", (text_key(document.full_text) for document in self.documents)),
            query_keys=array("Q", (text_key(query.text) for query in self.queries)),
        )


def _must_equal(where: str, id_: str, first: str, text: str) -> None:
    if first != text:
        raise DataError(f"{where}: the id '{id_}' stands for two texts: {first[:_SHOWN]!r} and {text[:_SHOWN]!r}")
