"""Search by the model's own vectors over the passages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun_plugins.models.encode import embed
from embedrun_plugins.models.nearest import Similarity
from embedrun_plugins.stages.miners.candidate_pool import Pool
from embedrun_plugins.stages.miners.ranking import Candidates, Exact, PassageSearch, pair_scores

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

TooNear = Callable[["NDArray[np.float32]", "NDArray[np.float32]"], "NDArray[np.bool_]"]
"""Says of (queries, ranks) similarities, and of (queries, 1) those of the answers, which are above the limits."""


@dataclass(frozen=True)
class PoolVectors:
    """The vectors of a pool."""

    queries: Tensor
    """(queries, dimensions)."""
    documents: Tensor
    """(passages, dimensions)."""
    answers: NDArray[np.float32]
    """(queries,): the similarity of each query's least similar answer."""
    similarity: Similarity
    device: torch.device

    @classmethod
    def of(cls, ctx: Context, pool: Pool, model: Model, batch_size: int) -> PoolVectors:
        """Encode each distinct text once; the model is let go of at the end."""
        loaded, shards = model.load(ctx.device), ctx.state / "vectors"
        texts = [query.text for query in pool.queries]
        queries = embed(loaded, texts, "query", batch_size, partial(ctx.progress, "encode queries"), shards)
        numbers = {document.full_text: index for index, document in enumerate(pool.documents)}
        pairs = [
            (number, numbers.setdefault(document.full_text, len(numbers)))
            for number, documents in enumerate(pool.answers)
            for document in documents
        ]
        progress = partial(ctx.progress, "encode passages")
        documents = embed(loaded, list(numbers), "document", batch_size, progress, shards)
        similarity: Similarity = loaded.similarity_fn_name
        lowest = np.full(len(pool.queries), np.inf, dtype=np.float32)
        number, index = (np.array(side) for side in zip(*pairs, strict=True))
        for start in range(0, len(pairs), _PAIRS):
            rows = slice(start, start + _PAIRS)
            scores = pair_scores(queries[number[rows]], documents[index[rows]], similarity)
            np.minimum.at(lowest, number[rows], scores)
        return cls(queries, documents[: len(pool.documents)], lowest, similarity, loaded.device)

    def limited(self, block: Candidates, too_near: TooNear, min_score: float | None) -> Candidates:
        """Take out candidates that are nearer to the query, or less similar to it, than the limits allow."""
        answers = self.answers[block.first : block.first + len(block.positions), None]
        outside = too_near(block.scores, answers)
        if min_score is not None:
            outside |= block.scores < min_score
        outside &= block.positions >= 0
        return Candidates(block.first, np.where(outside, -1, block.positions), block.scores, int(outside.sum()))


_PAIRS = 8192
"""Answers whose similarity is computed at once."""


def search(ctx: Context, vectors: PoolVectors, *, cells: int | None, highest: int) -> PassageSearch:
    """Return a search of every passage, or with FAISS of those in the `cells` nearest cells, its recall noted.

    Raises UserError where FAISS has none for the model's similarity.
    """
    exact = Exact(vectors.documents, vectors.similarity, vectors.device)
    if cells is None:
        return exact
    from embedrun_plugins.stages.miners.faiss_index import Cells

    index = Cells.of(ctx, vectors.documents, vectors.similarity, cells)
    ctx.note("recall_of_index", index.recall(exact, vectors.queries, highest))
    return index
