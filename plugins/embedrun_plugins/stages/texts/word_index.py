"""An index of texts by their words, for BM25."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrun.context import Context

if TYPE_CHECKING:
    from bm25s import BM25
    from bm25s.tokenization import Tokenizer
    from numpy.typing import NDArray


def build(ctx: Context, texts: Sequence[str], tokenizer: Tokenizer, bm25: Mapping[str, Any]) -> BM25 | None:
    """Return an index of the texts, or None where none holds a word; `bm25` holds k1, b and method."""
    from bm25s import BM25

    read = tokenizer.streaming_tokenize(list(texts), update_vocab=True)
    ids = list(ctx.track(read, "index passages", len(texts)))
    if len(tokenizer.get_vocab_dict()) <= 1:
        return None
    index = BM25(**bm25)
    index.index(tokenizer.to_tokenized_tuple(ids), show_progress=False)
    return index


def highest(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places and scores of the `k` best above 0, best first; among equal ones the first given first."""
    k = min(k, len(scores))
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero((scores >= floor) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    return candidates[order], scores[candidates[order]]
