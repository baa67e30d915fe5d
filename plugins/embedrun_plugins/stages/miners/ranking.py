"""The passages of a range of ranks, from ready vectors, block by block of the queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from embedrun_plugins.models.nearest import Neighbours, Similarity, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

BLOCK = 4096
"""Queries whose candidates are held at once: 16 * BLOCK bytes for each rank."""


@dataclass(frozen=True)
class Candidates:
    """What may become negatives of a block of queries, best first."""

    first: int
    """Number of the block's first query."""
    positions: NDArray[np.int64]
    """(queries, ranks): places among the passages; -1 where there is none."""
    scores: NDArray[np.float32]
    """(queries, ranks): the higher the more similar."""
    outside_limits: int = 0
    """Passages of these ranks that a limit on scores has taken out."""


class PassageSearch(Protocol):
    """Finds the nearest passages."""

    def nearest(self, queries: Tensor, k: int, progress: Callable[[float, float], None]) -> Neighbours:
        """Return the `k` best passages (or all, if fewer) of (queries, dimensions), best first."""


@dataclass(frozen=True)
class Exact:
    """Compares every query with every passage, (passages, dimensions)."""

    documents: Tensor
    similarity: Similarity
    device: torch.device | str = "cpu"

    def nearest(self, queries: Tensor, k: int, progress: Callable[[float, float], None]) -> Neighbours:
        rankings = nearest(
            queries, self.documents, k, similarity=self.similarity, device=self.device, progress=progress
        )
        return rankings[queries.shape[1]]


def ranked(
    search: PassageSearch,
    queries: Tensor,
    ranks: tuple[int, int],
    progress: Callable[[float, float], None] = lambda *_: None,
) -> Iterator[Candidates]:
    """Yield the passages from `ranks[0]` on (the best has rank 0) and before `ranks[1]`.

    This is the slice that FlagEmbedding's hn_mine.py takes of a search for `ranks[1]` passages.
    """
    low, high = ranks
    for first in range(0, len(queries), BLOCK):
        block = queries[first : first + BLOCK]

        def report(done: float, total: float, first: int = first, block: Tensor = block) -> None:
            progress(first + len(block) * done / total, len(queries))

        ranking = search.nearest(block, high, report)
        yield Candidates(first, ranking.positions[:, low:], ranking.scores[:, low:])


def pair_scores(queries: Tensor, documents: Tensor, similarity: Similarity) -> NDArray[np.float32]:
    """Return the similarity of each query to the document in the same row, (rows,)."""
    with torch.inference_mode():
        match similarity:
            case "cosine":
                similarities = torch.nn.functional.cosine_similarity(queries, documents)
            case "dot":
                similarities = (queries * documents).sum(dim=1)
            case _:
                similarities = -torch.nn.functional.pairwise_distance(
                    queries, documents, p=2.0 if similarity == "euclidean" else 1.0, eps=0.0
                )
    scores: NDArray[np.float32] = similarities.float().numpy()
    return scores
