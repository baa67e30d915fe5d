"""A set's training split in FlagEmbedding's own form: {"query", "pos": […], "neg": […]}, one question a line.

With a teacher's scores also "pos_scores" and "neg_scores". The source `pairs` reads these files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from embedrun.artifacts import Judgement, RetrievalSet
from embedrun.errors import DataError


@dataclass(frozen=True)
class Group:
    """A question, the passages that answer it, and mined ones that do not, best-ranked first."""

    query_id: str
    positives: tuple[Judgement, ...]
    negatives: tuple[Judgement, ...]


def groups(data: RetrievalSet) -> list[Group]:
    """Return the training split's questions in file order; a passage that answers one is none of its negatives."""
    relevant = data.relevant("train")
    negatives: dict[str, dict[str, Judgement]] = {}
    for judgement in data.negatives():
        if judgement.document_id not in relevant.get(judgement.query_id, {}):
            negatives.setdefault(judgement.query_id, {}).setdefault(judgement.document_id, judgement)
    return [
        Group(
            query,
            tuple(Judgement(query, document, score) for document, score in found.items()),
            tuple(negatives.get(query, {}).values()),
        )
        for query, found in relevant.items()
    ]


def taught(found: Sequence[Group]) -> bool:
    """Say whether the scores are a teacher's: a set without one gives every answer a 1."""
    negatives = any(group.negatives for group in found)
    return negatives and any(judgement.score != 1 for group in found for judgement in group.positives)


def lines(data: RetrievalSet, found: Iterable[Group], *, scores: bool) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file. Raises DataError where a judgement names nothing."""
    for group in found:
        line: dict[str, Any] = {
            "query": query_text(data, group.query_id),
            "pos": [document_text(data, judgement.document_id) for judgement in group.positives],
            "neg": [document_text(data, judgement.document_id) for judgement in group.negatives],
        }
        if scores:
            line["pos_scores"] = [judgement.score for judgement in group.positives]
            line["neg_scores"] = [judgement.score for judgement in group.negatives]
        yield line


def query_text(data: RetrievalSet, id_: str) -> str:
    query = data.queries.get(id_)
    if query is None:
        raise DataError(f"{data.path}: a judgement names query '{id_}', which does not exist")
    return query.text


def document_text(data: RetrievalSet, id_: str) -> str:
    document = data.documents.get(id_)
    if document is None:
        raise DataError(f"{data.path}: a judgement names document '{id_}', which does not exist")
    return document.full_text
