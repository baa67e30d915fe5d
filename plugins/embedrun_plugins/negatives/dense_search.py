"""What `dense` needs when it runs: the vectors, the search among them and the limits on their similarities."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun_plugins.encoding import embed
from embedrun_plugins.negatives.pool import Pool
from embedrun_plugins.negatives.ranking import Candidates, Exact, Search, pair_scores
from embedrun_plugins.search import Similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from embedrun_plugins.negatives.dense import Dense


@dataclass(frozen=True)
class Vectors:
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
    def of(cls, ctx: Context, pool: Pool, model: Model, batch_size: int) -> Vectors:
        """Encode each distinct text once; the model is let go of at the end."""
        loaded = model.load(ctx.device)
        queries = embed(
            loaded, [q.text for q in pool.queries], "query", batch_size, partial(ctx.progress, "encode queries")
        )
        places = {document.full_text: place for place, document in enumerate(pool.documents)}
        asked = [
            (number, places.setdefault(document.full_text, len(places)))
            for number, documents in enumerate(pool.answers)
            for document in documents
        ]
        documents = embed(loaded, list(places), "document", batch_size, partial(ctx.progress, "encode passages"))
        similarity: Similarity = loaded.similarity_fn_name
        lowest = np.full(len(pool.queries), np.inf, dtype=np.float32)
        number, place = (np.array(side) for side in zip(*asked, strict=True))
        for start in range(0, len(asked), _PAIRS):
            rows = slice(start, start + _PAIRS)
            scores = pair_scores(queries[number[rows]], documents[place[rows]], similarity)
            np.minimum.at(lowest, number[rows], scores)
        return cls(queries, documents[: len(pool.documents)], lowest, similarity, loaded.device)

    def limited(self, limits: Dense, block: Candidates) -> Candidates:
        """Take out candidates that are nearer to the query, or less similar to it, than the limits allow."""
        answers = self.answers[block.first : block.first + len(block.positions), None]
        outside = limits.too_near(block.scores, answers)
        if limits.min_score is not None:
            outside |= block.scores < limits.min_score
        outside &= block.positions >= 0
        return Candidates(block.first, np.where(outside, -1, block.positions), block.scores, int(outside.sum()))


_PAIRS = 8192
"""Answers whose similarity is computed at once."""


def search(ctx: Context, stage: Dense, vectors: Vectors) -> Search:
    """Return the search that the recipe asks for. Raises UserError where FAISS has none for the model's similarity."""
    exact = Exact(vectors.documents, vectors.similarity, vectors.device)
    if stage.index == "exact":
        return exact
    from embedrun_plugins.negatives.approximate import Cells

    cells = Cells.of(ctx, vectors.documents, vectors.similarity, stage.probes)
    ctx.note("recall_of_index", cells.recall(exact, vectors.queries, stage.range[1]))
    return cells
