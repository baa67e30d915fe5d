"""An approximate search for corpora of millions: FAISS's inverted file."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from embedrun.context import Context
from embedrun.errors import UserError
from embedrun_plugins.models.nearest import Neighbours, Similarity

if TYPE_CHECKING:
    from torch import Tensor

    from embedrun_plugins.stages.miners.ranking import Exact

_BLOCK = 65536
"""Passages added at once."""
_QUERIES = 256
"""Queries searched at once."""
_PER_CELL = 39
"""Passages in a cell at least, below which FAISS warns that its cells are poorly trained."""
_LOOKED_AT = 100
"""Queries whose exact candidates the recall is measured by."""


@dataclass(frozen=True)
class Cells:
    """Passages in cells around centres; a search looks only into those nearest to the query."""

    index: Any
    similarity: Similarity

    @classmethod
    def of(cls, ctx: Context, documents: Tensor, similarity: Similarity, probes: int) -> Cells:
        """Make the cells, 4 times as many as the root of the number of passages, by k-means seeded with the run's seed.

        Raises UserError for the Manhattan distance, which they do not have.
        """
        import faiss

        if similarity == "manhattan":
            raise UserError(
                "negatives.index: faiss has no inverted file for the model's similarity, manhattan; use index: exact"
            )
        number, width = documents.shape
        count = max(1, min(int(4 * math.sqrt(number)), number // _PER_CELL))
        metric = faiss.METRIC_L2 if similarity == "euclidean" else faiss.METRIC_INNER_PRODUCT
        quantizer = faiss.IndexFlat(width, metric)
        index = faiss.IndexIVFFlat(quantizer, width, count, metric)
        index.cp.seed = ctx.seed % 2**31
        index.cp.min_points_per_centroid = 1
        index.nprobe = min(probes, count)
        sample = np.random.default_rng(ctx.seed).permutation(number)[: count * index.cp.max_points_per_centroid]
        ctx.progress("make index", 0, number)
        index.train(_ready(documents[np.sort(sample)], similarity))
        for start in range(0, number, _BLOCK):
            index.add(_ready(documents[start : start + _BLOCK], similarity))
            ctx.progress("make index", min(start + _BLOCK, number), number)
        return cls(index, similarity)

    def nearest(self, queries: Tensor, k: int, progress: Callable[[float, float], None]) -> Neighbours:
        """Return the `k` best passages found; where there are fewer, positions are -1."""
        k = min(k, self.index.ntotal)
        parts = []
        for start in range(0, len(queries), _QUERIES):
            parts.append(self.index.search(_ready(queries[start : start + _QUERIES], self.similarity), k))
            progress(min(start + _QUERIES, len(queries)), len(queries))
        scores, positions = (np.concatenate(side) for side in zip(*parts, strict=True))
        if self.similarity == "euclidean":
            scores = -np.sqrt(np.maximum(scores, 0))
        # Among equal scores the passage given first comes first, however FAISS's heap left them.
        order = np.lexsort((positions, -np.where(positions < 0, -np.inf, scores)), axis=1)
        return Neighbours(np.take_along_axis(positions, order, axis=1), np.take_along_axis(scores, order, axis=1))

    def recall(self, exact: Exact, queries: Tensor, k: int) -> float:
        """Return the share of the exact search's `k` best passages that is found, for evenly spaced queries."""
        chosen = queries[:: max(1, len(queries) // _LOOKED_AT)][:_LOOKED_AT]
        wanted, returned = (side.nearest(chosen, k, lambda *_: None).positions for side in (exact, self))
        shared = sum(len(np.intersect1d(*rows)) for rows in zip(wanted, returned, strict=True))
        return round(shared / wanted.size, 4)


def _ready(vectors: Tensor, similarity: Similarity) -> Any:
    """Return float32 vectors for FAISS; cosines are products of vectors of length 1."""
    vectors = vectors.float()
    return (torch.nn.functional.normalize(vectors) if similarity == "cosine" else vectors).contiguous().numpy()
