"""The exact nearest documents of every query, without a matrix of all queries by all documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Similarity = Literal["cosine", "dot", "euclidean", "manhattan"]

QUERY_TILE = 1024
DOCUMENT_TILE = 8192
"""A tile of scores takes 4 * QUERY_TILE * DOCUMENT_TILE bytes: 32 MiB."""
_SMALLEST_LENGTH = 1e-12
"""As torch.nn.functional.normalize has it: a vector of zeros stays one."""


@dataclass(frozen=True)
class Neighbours:
    """The best documents of every query, best first; among equal scores the document given first."""

    positions: NDArray[np.int64]
    """(queries, k): places in the documents searched."""
    scores: NDArray[np.float32]
    """(queries, k): similarities; distances are negative."""


def nearest(
    queries: Tensor,
    documents: Tensor,
    k: int,
    *,
    similarity: Similarity = "cosine",
    dimensions: Sequence[int] = (),
    device: torch.device | str = "cpu",
    progress: Callable[[float, float], None] = lambda *_: None,
) -> Mapping[int, Neighbours]:
    """Return the `k` nearest documents (or all, if fewer) by dimension: the leading ones asked for, and all.

    `queries` and `documents` are (number, dimensions). Scores are float32 whatever the precision set for training. One
    pass serves all dimensions, since a longer vector's dot product continues a shorter one's.
    """
    wanted = sorted({*dimensions, queries.shape[1]})
    tile = max(DOCUMENT_TILE, k)
    with torch.inference_mode(), _full_precision(torch.device(device).type):
        tiles = [part.to(device, torch.float32) for part in torch.split(queries, QUERY_TILE)]
        best = [{dimension: _Best(min(k, len(documents))) for dimension in wanted} for _ in tiles]
        for offset in range(0, len(documents), tile):
            searched = documents[offset : offset + tile].to(device, torch.float32)
            lengths = _lengths(searched, wanted)
            for part, nearest_so_far in zip(tiles, best, strict=True):
                for dimension, scores in _tile_scores(part, searched, lengths, similarity):
                    nearest_so_far[dimension].add(scores, offset)
            progress(offset + len(searched), len(documents))
        for part, nearest_so_far in zip(tiles, best, strict=True):
            for dimension, length in _lengths(part, wanted).items() if similarity == "cosine" else ():
                nearest_so_far[dimension].divide(length[:, None])
    return {dimension: _joined([tile[dimension] for tile in best]) for dimension in wanted}


class _Best:
    """The best documents of a tile of queries so far, best first."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.scores: Tensor | None = None
        self.positions: Tensor | None = None

    def add(self, scores: Tensor, offset: int) -> None:
        """Take in a (queries, documents) tile whose documents start at `offset` and follow all taken in before."""
        if self.scores is None or self.positions is None:
            floor = scores.topk(self.k, dim=1).values[:, -1:]
            values, positions = _padded(scores, scores >= floor)
        else:
            values, positions = _padded(scores, scores > self.scores[:, -1:])
            values = torch.cat((self.scores, values), dim=1)
            positions = torch.cat((self.positions, positions + offset), dim=1)
        values, order = values.sort(dim=1, descending=True, stable=True)
        self.scores = values[:, : self.k].contiguous()
        self.positions = positions.gather(1, order[:, : self.k])

    def divide(self, lengths: Tensor) -> None:
        if self.scores is not None:
            self.scores = self.scores / lengths


def _padded(scores: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Return the chosen scores of each row and their columns, padded with -infinity to the longest row."""
    rows, columns = chosen.nonzero(as_tuple=True)
    counts = torch.bincount(rows, minlength=len(scores))
    width = int(counts.max())
    slots = torch.arange(len(rows), device=scores.device) - (counts.cumsum(0) - counts)[rows]
    values = scores.new_full((len(scores), width), float("-inf"))
    positions = torch.zeros((len(scores), width), dtype=torch.int64, device=scores.device)
    values[rows, slots] = scores[rows, columns]
    positions[rows, slots] = columns
    return values, positions


def _lengths(vectors: Tensor, dimensions: Sequence[int]) -> dict[int, Tensor]:
    """Return the Euclidean lengths of the vectors cut to each dimension, rising."""
    squares = vectors.new_zeros(len(vectors))
    lengths = {}
    for done, dimension in pairwise((0, *dimensions)):
        squares = squares + vectors[:, done:dimension].square().sum(dim=1)
        lengths[dimension] = squares.sqrt().clamp_min(_SMALLEST_LENGTH)
    return lengths


def _tile_scores(
    queries: Tensor, documents: Tensor, lengths: Mapping[int, Tensor], similarity: Similarity
) -> Iterator[tuple[int, Tensor]]:
    """Yield (queries, documents) scores for each dimension, rising; cosines are not yet divided by the query's length.

    The tensor yielded is overwritten by the next.
    """
    if similarity in ("euclidean", "manhattan"):
        power = 2.0 if similarity == "euclidean" else 1.0
        for dimension in lengths:
            yield dimension, -torch.cdist(queries[:, :dimension], documents[:, :dimension], p=power)
        return
    products = queries.new_zeros(len(queries), len(documents))
    cosines = torch.empty_like(products) if similarity == "cosine" else products
    for done, dimension in pairwise((0, *lengths)):
        products.addmm_(queries[:, done:dimension], documents[:, done:dimension].T)
        if similarity == "cosine":
            torch.div(products, lengths[dimension], out=cosines)
        yield dimension, cosines


def _joined(parts: Sequence[_Best]) -> Neighbours:
    positions = [part.positions.cpu().numpy() for part in parts if part.positions is not None]
    scores = [part.scores.cpu().numpy() for part in parts if part.scores is not None]
    return Neighbours(np.concatenate(positions), np.concatenate(scores))


@contextmanager
def _full_precision(device: str) -> Iterator[None]:
    """Switch off autocast and TF32, which training may have switched on."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
