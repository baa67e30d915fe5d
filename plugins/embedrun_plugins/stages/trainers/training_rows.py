"""What rows for training are made from, and what they look like when they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

from embedrun.artifacts import Judgement, RetrievalSet, Role, Split
from embedrun.errors import DataError, UserError
from embedrun.stages import Loss

_QUERIES, _LABELS = ("anchor", "sentence1"), ("label", "score")


@dataclass(frozen=True)
class TrainingRows:
    """Rows by column, in the order that the loss reads them."""

    columns: Mapping[str, list[Any]]
    notes: Mapping[str, int] = field(default_factory=dict)
    """What the user should know of how the rows were made, as counts by name."""

    @classmethod
    def of(cls, columns: Iterable[str], rows: Iterable[Iterable[Any]], notes: Mapping[str, int] | None = None) -> Self:
        """Make columns of rows; counts of 0 are no notes."""
        cells: dict[str, list[Any]] = {name: [] for name in columns}
        for row in rows:
            for column, cell in zip(cells.values(), row, strict=True):
                column.append(cell)
        return cls(cells, {name: count for name, count in (notes or {}).items() if count})

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def negatives(self) -> int:
        """Number of columns of negatives."""
        return sum(name.startswith("negative") for name in self.columns)

    @property
    def roles(self) -> dict[str, Role]:
        """Role of each column's texts, whose prompt goes before them; a column of mixed texts has none."""
        texts = [name for name in self.columns if name not in (*_LABELS, "sentence")]
        return {name: "query" if name in _QUERIES else "document" for name in texts}


@dataclass(frozen=True)
class TrainingData:
    """A split of a set, and the loss that is to learn from it."""

    retrieval_set: RetrievalSet
    loss: Loss
    split: Split = "train"
    negatives_per_query: int | None = None
    """Most negatives taken of each query; None for all that it has."""
    seed: int = 42
    prompts: Mapping[str, str] = field(default_factory=dict)

    @property
    def innermost(self) -> Loss:
        """The loss that reads the rows: a wrapping loss's inner one."""
        loss = self.loss
        while isinstance(inner := getattr(loss, "inner", None), Loss):
            loss = inner
        return loss

    @cached_property
    def judgements(self) -> list[Judgement]:
        return self.retrieval_set.qrels(self.split)

    @cached_property
    def positives(self) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.score > 0]

    @cached_property
    def relevant(self) -> Mapping[str, Mapping[str, float]]:
        return self.retrieval_set.relevant(self.split)

    @cached_property
    def negatives(self) -> Mapping[str, list[Judgement]]:
        """Each query's negatives, best-ranked first; only the train split has any."""
        by_query: dict[str, list[Judgement]] = {}
        for judgement in self.retrieval_set.negatives() if self.split == "train" else ():
            if judgement.document_id not in self.relevant.get(judgement.query_id, {}):
                by_query.setdefault(judgement.query_id, []).append(judgement)
        return {query: judgements[: self.negatives_per_query] for query, judgements in by_query.items()}

    def texts(self, judgement: Judgement) -> tuple[str, str]:
        """Return the query's and the document's text. Raises DataError where the judgement names none."""
        return query_text(self.retrieval_set, judgement.query_id), self.document(judgement.document_id)

    def document(self, document_id: str) -> str:
        """Return a document's text. Raises DataError where there is none."""
        return document_text(self.retrieval_set, document_id)

    def refuse(self, reason: str) -> UserError:
        """Return the error for a split that the loss cannot learn from."""
        return UserError(
            f"the {self.split} split of {self.retrieval_set.path} does not suit the loss '{self.loss.type}': {reason}"
        )


def query_text(data: RetrievalSet, query_id: str) -> str:
    """Return a query's text. Raises DataError where there is none."""
    query = data.queries.get(query_id)
    if query is None:
        raise DataError(f"{data.path}: a judgement names query '{query_id}', which does not exist")
    return query.text


def document_text(data: RetrievalSet, document_id: str) -> str:
    """Return a document's text. Raises DataError where there is none."""
    document = data.documents.get(document_id)
    if document is None:
        raise DataError(f"{data.path}: a judgement names document '{document_id}', which does not exist")
    return document.full_text
