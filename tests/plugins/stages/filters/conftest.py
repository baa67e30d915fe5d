"""What the tests of filters share: running one, and what it said."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from embedrun.artifacts import Document, Judgement, Model, Query, RetrievalSet, Split
from embedrun.context import Context
from embedrun.stages import Filter


@dataclass
class Filtered:
    """What a filter left, and what it said."""

    data: RetrievalSet
    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def pairs(self, split: Split = "train") -> set[tuple[str, str]]:
        """Question and passage of every judgement of a split."""
        queries, documents = self.data.queries, self.data.documents
        return {(queries[one.query_id].text, documents[one.document_id].text) for one in self.data.qrels(split)}

    def negatives(self) -> set[tuple[str, str]]:
        queries, documents = self.data.queries, self.data.documents
        return {(queries[one.query_id].text, documents[one.document_id].text) for one in self.data.negatives()}


@pytest.fixture
def sift(tmp_path) -> Callable[..., Filtered]:
    """Run a filter in a folder of its own."""
    numbers = itertools.count()

    def run(stage: Filter, data: RetrievalSet, model: Model | None = None) -> Filtered:
        out = tmp_path / f"sifted-{next(numbers)}"
        out.mkdir()
        notes: dict[str, Any] = {}
        warnings: list[str] = []
        ctx = Context(out, tmp_path, model=model, device="cpu", on_note=notes.__setitem__, on_warning=warnings.append)
        return Filtered(stage.run(ctx, data), json.loads(json.dumps(notes)), warnings)

    return run


@pytest.fixture
def made(tmp_path) -> Callable[..., RetrievalSet]:
    """Write a set of question and passage by split; a passage may be a document, and its negatives may follow."""
    numbers = itertools.count()

    def write(*, negatives: dict[str, str] | None = None, more: tuple[Any, ...] = (), **pairs: Any) -> RetrievalSet:
        rows = [(split, Query.of(q), _document(d)) for split, found in pairs.items() for q, d in found]
        wrong = [(Query.of(q), _document(d)) for q, d in (negatives or {}).items()]
        return RetrievalSet.write(
            tmp_path / f"made-{next(numbers)}",
            documents=[*(d for _, _, d in rows), *(d for _, d in wrong), *map(_document, more)],
            queries=[q for _, q, _ in rows],
            qrels={split: [Judgement(q.id, d.id) for name, q, d in rows if name == split] for split in pairs},
            negatives=[Judgement(q.id, d.id, 0.5) for q, d in wrong],
        )

    return write


def _document(given: str | Document) -> Document:
    return given if isinstance(given, Document) else Document.of(given)
