"""Search by BM25 over the words of the passages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.miners.candidate_pool import Pool
from embedrun_plugins.stages.miners.ranking import BLOCK, Candidates
from embedrun_plugins.stages.texts.word_index import build, highest


def search(
    ctx: Context, pool: Pool, ranks: tuple[int, int], *, words: str, stop_words: str | None, bm25: Mapping[str, Any]
) -> Iterator[Candidates]:
    """Yield each block's candidates. Raises DataError where the passages hold no word.

    `words` is the regular expression that finds them; `bm25` holds k1, b and method.
    """
    from bm25s.tokenization import Tokenizer

    tokenizer = Tokenizer(splitter=words, stopwords=stop_words)
    index = build(ctx, [document.full_text for document in pool.documents], tokenizer, bm25)
    if index is None:
        raise DataError(f"negatives: no passage holds a word, as negatives.words finds them: {words}")
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
            best, values = highest(index.get_scores_from_ids(next(tracked)), high)
            width = max(0, len(best) - low)
            positions[row, :width], scores[row, :width] = best[low:], values[low:]
        yield Candidates(first, positions, scores)
    next(tracked, None)
