"""A source that does not say what a rehearsal reads of it: read whole, then cut to a handful of rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from typing import Any

from embedrun.artifacts import Document, Judgement, RetrievalSet, Split
from embedrun.context import Context
from embedrun.stages import Column, Source

_QUERIES = 16
"""Of a split."""
_DOCUMENTS = 24
"""Beside those that are judged; of each split, where documents belong to one."""


class CutSource(Source):
    """A source whose set is cut."""

    type: str
    stage: Any
    """The recipe's source."""

    def uses_model(self) -> bool:
        return bool(self.stage.uses_model())

    def columns_given(self) -> frozenset[Column]:
        return frozenset(self.stage.columns_given())

    def run(self, ctx: Context) -> RetrievalSet:
        whole: RetrievalSet = self.stage.run(ctx)
        qrels: dict[Split, list[Judgement]] = {split: _first(whole.qrels(split)) for split in whole.splits}
        asked = {judgement.query_id for judged in qrels.values() for judgement in judged}
        negatives = [judgement for judgement in whole.negatives() if judgement.query_id in asked]
        named = {judgement.document_id for judged in (*qrels.values(), negatives) for judgement in judged}
        documents = [document for document in whole.documents.values() if document.id in named]
        documents += _some(document for document in whole.documents.values() if document.id not in named)
        queries = [query for query in whole.queries.values() if query.id in asked]
        shutil.rmtree(ctx.out)
        return RetrievalSet.write(ctx.out, documents=documents, queries=queries, qrels=qrels, negatives=negatives)


def _first(judged: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgements of the first queries."""
    queries: set[str] = set()
    kept = []
    for judgement in judged:
        if judgement.query_id in queries or len(queries) < _QUERIES:
            queries.add(judgement.query_id)
            kept.append(judgement)
    return kept


def _some(documents: Iterable[Document]) -> list[Document]:
    counts: dict[Any, int] = {}
    kept = []
    for document in documents:
        split = document.metadata.get("split")
        counts[split] = counts.get(split, 0) + 1
        if counts[split] <= _DOCUMENTS:
            kept.append(document)
    return kept
