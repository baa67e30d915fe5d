"""Measures of a ranking, for all queries at once, as sentence-transformers and trec_eval define them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class JudgedRankings:
    """What each query's ranking is worth. All cut-offs must lie within its depth."""

    gains: Floats
    """(queries, depth): what each retrieved document is worth; 0 where it is not relevant, or there is none."""
    ideal: Floats
    """(queries, depth): the same of the best possible ranking."""
    relevant: NDArray[np.int64]
    """(queries,): relevant documents, retrievable or not; at least 1."""

    @property
    def hits(self) -> NDArray[np.bool_]:
        return self.gains > 0


def accuracy(judged: JudgedRankings, k: int) -> Floats:
    """Return 1 for each query with a relevant document among the first k, else 0."""
    return np.asarray(judged.hits[:, :k].any(axis=1), dtype=np.float64)


def precision(judged: JudgedRankings, k: int) -> Floats:
    return np.asarray(judged.hits[:, :k].sum(axis=1) / k)


def recall(judged: JudgedRankings, k: int) -> Floats:
    return np.asarray(judged.hits[:, :k].sum(axis=1) / judged.relevant)


def reciprocal_rank(judged: JudgedRankings, k: int) -> Floats:
    hits = judged.hits[:, :k]
    return np.where(hits.any(axis=1), 1.0 / (hits.argmax(axis=1) + 1), 0.0)


def ndcg(judged: JudgedRankings, k: int) -> Floats:
    """Return the discounted cumulative gain over the best possible (Järvelin and Kekäläinen 2002, gains linear)."""
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gained, best = ((worth[:, :k] * discounts).sum(axis=1) for worth in (judged.gains, judged.ideal))
    return np.asarray(gained / best)


def average_precision(judged: JudgedRankings, k: int) -> Floats:
    """Return the mean precision at the relevant documents' ranks; one not among the first k counts 0.

    The mean is over min(k, relevant), as in sentence-transformers, so that a perfect ranking scores 1.
    """
    hits = judged.hits[:, :k]
    precisions = hits.cumsum(axis=1) / np.arange(1, k + 1)
    return np.asarray((precisions * hits).sum(axis=1) / np.minimum(k, judged.relevant))


MEASURES: Mapping[str, Callable[[JudgedRankings, int], Floats]] = {
    "accuracy": accuracy,
    "hit_rate": accuracy,
    "precision": precision,
    "recall": recall,
    "mrr": reciprocal_rank,
    "ndcg": ndcg,
    "map": average_precision,
}
"""By the name that a metric has before its @k."""
