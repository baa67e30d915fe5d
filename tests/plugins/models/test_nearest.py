"""The exact search, by tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from embedrun_plugins.models import nearest as search
from embedrun_plugins.models.nearest import nearest


@pytest.fixture
def vectors():
    source = torch.Generator().manual_seed(0)
    return torch.randn(23, 24, generator=source), torch.randn(517, 24, generator=source)


def expected(queries, documents, similarity):
    match similarity:
        case "cosine":
            return torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(documents).T
        case "dot":
            return queries @ documents.T
    return -torch.cdist(queries, documents, p={"euclidean": 2.0, "manhattan": 1.0}[similarity])


@pytest.mark.parametrize("similarity", ["cosine", "dot", "euclidean", "manhattan"])
@pytest.mark.parametrize("tiles", [(5, 40), (1024, 8192)])
def test_every_dimension_equals_the_full_matrix(vectors, similarity, tiles, monkeypatch):
    monkeypatch.setattr(search, "QUERY_TILE", tiles[0])
    monkeypatch.setattr(search, "DOCUMENT_TILE", tiles[1])
    queries, documents = vectors
    found = nearest(queries.double(), documents.double(), 11, similarity=similarity, dimensions=(8, 16))
    assert set(found) == {8, 16, 24}
    for dimension, ranking in found.items():
        scores, positions = expected(queries[:, :dimension], documents[:, :dimension], similarity).topk(11)
        np.testing.assert_allclose(ranking.scores, scores, atol=1e-5)
        assert (ranking.positions == positions.numpy()).all()


def test_equal_documents_keep_their_order_across_tiles(monkeypatch):
    monkeypatch.setattr(search, "DOCUMENT_TILE", 4)
    documents = torch.ones(11, 8)
    documents[5] *= -1
    found = nearest(torch.ones(2, 8), documents, 4)[8]
    assert found.positions.tolist() == [[0, 1, 2, 3]] * 2


def test_fewer_documents_than_asked_for_are_all_given(vectors):
    queries, documents = vectors
    assert sorted(nearest(queries, documents[:3], 10)[24].positions[0]) == [0, 1, 2]


def test_a_vector_of_zeros_is_like_nothing(vectors):
    found = nearest(torch.zeros(1, 24), vectors[1], 5)[24]
    assert found.scores.tolist() == [[0.0] * 5]


def test_reduced_precision_set_for_training_does_not_reach_the_scores(vectors):
    queries, documents = vectors
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = nearest(queries, documents, 5)[24]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found.scores, nearest(queries, documents, 5)[24].scores)
