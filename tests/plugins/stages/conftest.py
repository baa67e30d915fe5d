"""Sets that can feed every loss, and a tiny model, for the tests of losses and trainers."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedrun.artifacts import Document, Judgement, Model, Query, RetrievalSet
from embedrun.testing import small_set, tiny_model


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Model:
    """A random two-layer BERT of 32 dimensions."""
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def ranked(tmp_path_factory) -> RetrievalSet:
    """Pairs with negatives, which have a teacher's scores."""
    return small_set(tmp_path_factory.mktemp("ranked") / "data")


@pytest.fixture(scope="session")
def graded(tmp_path_factory) -> RetrievalSet:
    """Pairs that are judged 1 or 0."""
    documents = [Document.of(f"the {word} is kept in room {n}") for n, word in enumerate(("lamp", "river", "stone"))]
    queries = [Query.of(f"where is the {word}") for word in ("lamp", "river", "stone")]
    judgements = [Judgement(q.id, d.id, float(i == j)) for i, q in enumerate(queries) for j, d in enumerate(documents)]
    folder: Path = tmp_path_factory.mktemp("graded") / "data"
    return RetrievalSet.write(folder, documents=documents, queries=queries, qrels={"train": judgements})
