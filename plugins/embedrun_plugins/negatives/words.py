"""What `bm25` needs when it runs: an index of words, and a search in it query by query."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.negatives.pool import Pool
from embedrun_plugins.negatives.ranking import BLOCK, Candidates

if TYPE_CHECKING:
    from bm25s import BM25
    from bm25s.tokenization import Tokenizer
    from numpy.typing import NDArray

    from embedrun_plugins.negatives.bm25 import Bm25


def search(ctx: Context, stage: Bm25, pool: Pool) -> Iterator[Candidates]:
    """Yield each block's candidates. Raises DataError where the passages hold no word."""
    from bm25s.tokenization import Tokenizer

    tokenizer = Tokenizer(splitter=stage.words, stopwords=stage.stop_words)
    index = _index(ctx, stage, pool, tokenizer)
    low, high = stage.range
    queries = tokenizer.streaming_tokenize(
        [query.text for query in pool.queries], update_vocab="never", allow_empty=False
    )
    tracked = ctx.track(queries, "search", len(pool.queries))
    for first in range(0, len(pool.queries), BLOCK):
        size = min(BLOCK, len(pool.queries) - first)
        positions = np.full((size, high - low), -1, dtype=np.int64)
        scores = np.full((size, high - low), -np.inf, dtype=np.float32)
        for row in range(size):
            words = next(tracked)
            found, values = _best(index.get_scores_from_ids(words), high)
            width = max(0, len(found) - low)
            positions[row, :width], scores[row, :width] = found[low:], values[low:]
        yield Candidates(first, positions, scores)
    next(tracked, None)


def _index(ctx: Context, stage: Bm25, pool: Pool, tokenizer: Tokenizer) -> BM25:
    from bm25s import BM25

    texts = [document.full_text for document in pool.documents]
    read = tokenizer.streaming_tokenize(texts, update_vocab=True)
    ids = list(ctx.track(read, "index passages", len(texts)))
    if len(tokenizer.get_vocab_dict()) <= 1:
        raise DataError(f"negatives: no passage holds a word, as negatives.words finds them: {stage.words}")
    index = BM25(k1=stage.k1, b=stage.b, method=stage.method)
    index.index(tokenizer.to_tokenized_tuple(ids), show_progress=False)
    return index


def _best(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places and scores of the `k` best above 0, best first; among equal ones the first given first."""
    k = min(k, len(scores))
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    found = np.flatnonzero((scores >= floor) & (scores > 0))
    order = np.argsort(-scores[found], kind="stable")[:k]
    return found[order], scores[found[order]]
