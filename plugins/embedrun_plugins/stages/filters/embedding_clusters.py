"""Clusters of texts whose vectors nearly point the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedrun.artifacts import Role
from embedrun.context import Context
from embedrun_plugins.models.encode import Progress, embed
from embedrun_plugins.stages.texts.keys import UnionFind, text_key
from embedrun_plugins.stages.texts.near_duplicates import clusters, digits

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

COSINE = 0.97
_ROWS, _COLUMNS = 1024, 8192
"""A tile of cosines takes 4 * rows * columns bytes: 32 MiB."""


@dataclass(frozen=True)
class EmbeddingClusters:
    """Finds twins by a model's vectors."""

    ctx: Context
    model: SentenceTransformer
    threshold: float
    same_numbers: bool
    batch_size: int

    def __call__(self, texts: Sequence[str], role: Role) -> NDArray[np.int64]:
        """Return (texts,): for each text the place of the first of its cluster.

        Twins are equal texts, as `near_duplicates.clusters` has them, and those whose vectors have a cosine of at least
        the threshold; a twin's twins belong to its cluster. With `same_numbers`, texts with different digits are none.
        """
        equal = clusters(texts, threshold=1)
        firsts = np.unique(equal)
        unique = [texts[index] for index in firsts.tolist()]
        label = "queries" if role == "query" else "passages"
        progress, shards = partial(self.ctx.progress, f"encode {label}"), self.ctx.state / "vectors"
        vectors = embed(self.model, unique, role, self.batch_size, progress, shards)
        directions = torch.nn.functional.normalize(vectors, dim=1)
        roots = self._roots(unique, directions, partial(self.ctx.progress, f"compare {label}"))
        return firsts[roots][np.searchsorted(firsts, equal)]

    def _roots(self, texts: Sequence[str], directions: Tensor, progress: Progress) -> NDArray[np.int64]:
        forest = UnionFind(len(texts))
        keys = (text_key(digits(text) if self.same_numbers else "") for text in texts)
        numbers = np.fromiter(keys, np.uint64, len(texts))
        for start in range(0, len(texts), _ROWS):
            for offset in range(start - start % _COLUMNS, len(texts), _COLUMNS):
                cosines = directions[start : start + _ROWS] @ directions[offset : offset + _COLUMNS].T
                rows, columns = (indices.numpy() for indices in (cosines >= self.threshold).nonzero(as_tuple=True))
                left, right = rows + start, columns + offset
                fit = (left < right) & (numbers[left] == numbers[right])
                _join(forest, left[fit], right[fit])
            progress(min(start + _ROWS, len(texts)), len(texts))
        return forest.roots()


def _join(forest: UnionFind, left: NDArray[np.int64], right: NDArray[np.int64]) -> None:
    """Join all pairs, each round but one for each text, so that a thousand equal texts take no million steps."""
    while len(left):
        roots = forest.roots()
        apart = roots[left] != roots[right]
        left, right = left[apart], right[apart]
        _, first = np.unique(left, return_index=True)
        for i, j in zip(left[first].tolist(), right[first].tolist(), strict=True):
            forest.join(i, j)
