"""Search by BM25 over the words of the passages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.miners.candidate_pool import Pool
from embedrun_plugins.stages.miners.ranking import BLOCK, Candidates

if TYPE_CHECKING:
    from bm25s import BM25
    from bm25s.tokenization import Tokenizer
    from numpy.typing import NDArray


def search(
    ctx: Context, pool: Pool, ranks: tuple[int, int], *, words: str, stop_words: str | None, bm25: Mapping[str, Any]
) -> Iterator[Candidates]:
    """Yield each block's candidates. Raises DataError where the passages hold no word.

    `words` is the regular expression that finds them; `bm25` holds k1, b and method.
    """
    from bm25s.tokenization import Tokenizer

    tokenizer = Tokenizer(splitter=words, stopwords=stop_words)
    index = _index(ctx, pool, tokenizer, words, bm25)
    low, high = ranks
    queries = tokenizer.streaming_tokenize(
        [query.text for query in pool.queries], update_vocab="never", allow_empty=False
    )
    tracked = ctx.track(queries, "search", len(pool.queries))
    for first in range(0, len(pool.queries), BLOCK):
        size = min(BLOCK, len(pool.queries) - first)
        positions = np.full((size, high - low), -1, dtype=np.int64)
        scores = np.full((size, high - low), -np.inf, dtype=np.float32)
        for row in range(size):
            best, values = _best(index.get_scores_from_ids(next(tracked)), high)
            width = max(0, len(best) - low)
            positions[row, :width], scores[row, :width] = best[low:], values[low:]
        yield Candidates(first, positions, scores)
    next(tracked, None)


def _index(ctx: Context, pool: Pool, tokenizer: Tokenizer, words: str, bm25: Mapping[str, Any]) -> BM25:
    from bm25s import BM25

    texts = [document.full_text for document in pool.documents]
    read = tokenizer.streaming_tokenize(texts, update_vocab=True)
    ids = list(ctx.track(read, "index passages", len(texts)))
    if len(tokenizer.get_vocab_dict()) <= 1:
        raise DataError(f"negatives: no passage holds a word, as negatives.words finds them: {words}")
    index = BM25(**bm25)
    index.index(tokenizer.to_tokenized_tuple(ids), show_progress=False)
    return index


def _best(scores: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the places and scores of the `k` best above 0, best first; among equal ones the first given first."""
    k = min(k, len(scores))
    floor = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero((scores >= floor) & (scores > 0))
    order = np.argsort(-scores[candidates], kind="stable")[:k]
    return candidates[order], scores[candidates[order]]
