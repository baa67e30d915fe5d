"""What rows for training are made from, and what they look like when they are made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from embedrun.artifacts import Judgement, RetrievalSet, Role, Split
from embedrun.errors import DataError, UserError
from embedrun.stages import Loss

_QUERIES, _LABELS = ("anchor", "sentence1"), ("label", "score")


@dataclass(frozen=True)
class Table:
    """Rows by column, in the order that the loss reads them."""

    columns: Mapping[str, list[Any]]
    notes: Mapping[str, int] = field(default_factory=dict)
    """What the user should know of how the rows were made, as counts by name."""

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


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]], notes: Mapping[str, int] | None = None) -> Table:
    """Make a table of rows; counts of 0 are no notes."""
    found: dict[str, list[Any]] = {name: [] for name in columns}
    for row in rows:
        for column, cell in zip(found.values(), row, strict=True):
            column.append(cell)
    return Table(found, {name: count for name, count in (notes or {}).items() if count})


@dataclass(frozen=True)
class Material:
    """A split of a set, and the loss that is to learn from it."""

    data: RetrievalSet
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
        return self.data.qrels(self.split)

    @cached_property
    def positives(self) -> list[Judgement]:
        return [judgement for judgement in self.judgements if judgement.score > 0]

    @cached_property
    def relevant(self) -> Mapping[str, Mapping[str, float]]:
        return self.data.relevant(self.split)

    @cached_property
    def negatives(self) -> Mapping[str, list[Judgement]]:
        """Each query's negatives, best-ranked first; only the train split has any."""
        found: dict[str, list[Judgement]] = {}
        for judgement in self.data.negatives() if self.split == "train" else ():
            if judgement.document_id not in self.relevant.get(judgement.query_id, {}):
                found.setdefault(judgement.query_id, []).append(judgement)
        return {query: judgements[: self.negatives_per_query] for query, judgements in found.items()}

    def texts(self, judgement: Judgement) -> tuple[str, str]:
        """Return the query's and the document's text. Raises DataError where the judgement names none."""
        query = self.data.queries.get(judgement.query_id)
        if query is None:
            raise DataError(f"{self.data.path}: a judgement names query '{judgement.query_id}', which does not exist")
        return query.text, self.document(judgement.document_id)

    def document(self, document_id: str) -> str:
        """Return a document's text. Raises DataError where there is none."""
        document = self.data.documents.get(document_id)
        if document is None:
            raise DataError(f"{self.data.path}: a judgement names document '{document_id}', which does not exist")
        return document.full_text

    def refuse(self, reason: str) -> UserError:
        """Return the error for a split that the loss cannot learn from."""
        return UserError(
            f"the {self.split} split of {self.data.path} does not suit the loss '{self.loss.type}': {reason}"
        )
