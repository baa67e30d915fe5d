"""Texts that are equal or nearly so, by MinHash: Broder, On the resemblance and containment of documents (1997).

Texts are compared by their runs of five letters, without case, white space and punctuation: how many of all runs that
either holds do both hold (Jaccard similarity). MinHash, with locality-sensitive hashing of bands (Leskovec et al.,
Mining of Massive Datasets, chapter 3), finds the pairs that are worth comparing; each of those is compared exactly, so
nothing is called nearly equal that is not. Buckets are found by sorting, so that memory stays at a few hundred bytes a
text, and runs are hashed by numpy: datasketch, with a Python object for each run and bucket, takes seven times as long.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from embedrun.artifacts import CUT_FROM, Document
from embedrun_plugins.stages.texts.keys import UnionFind, bare, near_key, text_key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from embedrun_plugins.models.encode import Progress

THRESHOLD = 0.9
RUN = 5
"""Letters in a run."""
PERMUTATIONS = 64
_MISSED = 1e-3
"""Chance that a pair just at the threshold is never compared."""
_WINDOW = 256
"""Neighbours in a bucket that a text is compared with, so that texts made from one template take no quadratic time."""
_SLACK = 0.2
"""How far the signatures' estimate may lie below the threshold: above three standard deviations."""
_PIECE = 8192
"""Runs, and pairs, looked at together: bounds memory."""


def clusters(
    texts: Sequence[str], threshold: float = THRESHOLD, *, same_numbers: bool = True, progress: Progress | None = None
) -> NDArray[np.int64]:
    """Return (texts,): for each text the place of the first of its cluster, its own where it has no twin.

    Twins are texts that differ only in case, white space and punctuation, and those whose similarity reaches the
    `threshold` (1 finds only the former); a twin's twins belong to its cluster. With `same_numbers`, texts with
    different digits are no near twins: last year's figures are not this year's. The result depends on nothing else.
    """
    keys = np.fromiter((near_key(text) for text in texts), np.uint64, len(texts))
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    if threshold >= 1 or len(first) == 1 or not texts:
        return first[inverse].astype(np.int64)
    first, inverse = np.sort(first), np.argsort(np.argsort(first))[inverse]
    labels = _Resemblance([texts[index] for index in first], threshold, same_numbers=same_numbers).labels(progress)
    return first[labels][inverse].astype(np.int64)


def digits(text: str) -> str:
    """Return a text's digits, by which near twins may not differ."""
    return "".join(filter(str.isdigit, text))


def document_clusters(
    documents: Sequence[Document],
    threshold: float = THRESHOLD,
    *,
    same_numbers: bool = True,
    progress: Progress | None = None,
) -> NDArray[np.int64]:
    """Return (documents,): the place of the first of each one's cluster, as `clusters` finds them by the full texts.

    A document that was cut from another for training, by a generator, is its twin however much was cut.
    """
    texts = [document.full_text for document in documents]
    clustered = clusters(texts, threshold, same_numbers=same_numbers, progress=progress)
    forest, indices = UnionFind(len(texts)), {document.id: index for index, document in enumerate(documents)}
    for index, document in enumerate(documents):
        forest.join(index, int(clustered[index]))
        if CUT_FROM in document.metadata:
            forest.join(index, indices.get(str(document.metadata[CUT_FROM]), index))
    return forest.roots()


class _Resemblance:
    """Distinct texts and the clusters that they form."""

    def __init__(self, texts: Sequence[str], threshold: float, *, same_numbers: bool) -> None:
        self.texts, self.threshold = texts, threshold
        self.forest = UnionFind(len(texts))
        numbers = (text_key(digits(text) if same_numbers else "") for text in texts)
        self.numbers = np.fromiter(numbers, np.uint64, len(texts))
        self.runs = lru_cache(maxsize=4096)(lambda index: np.unique(runs(texts[index])))

    def labels(self, progress: Progress | None) -> NDArray[np.int64]:
        """Return (texts,): the place of the first of each text's cluster."""
        signatures = self._signatures(progress)
        for band in _bands(self.threshold):
            for left, right in self._candidates(signatures, band):
                if self._resemble(left, right):
                    self.forest.join(left, right)
        return self.forest.roots()

    def _signatures(self, progress: Progress | None) -> NDArray[np.uint32]:
        """Return (texts, permutations): the least of each text's runs in each of so many random orders."""
        rng = np.random.default_rng(0)
        factors = rng.integers(0, 2**31, (PERMUTATIONS, 1), np.uint32) * np.uint32(2) + np.uint32(1)
        shifts = rng.integers(0, 2**32, (PERMUTATIONS, 1), np.uint32)
        signatures = np.empty((len(self.texts), PERMUTATIONS), np.uint32)
        for index, text in enumerate(self.texts):
            hashes = (runs(text) >> np.uint64(32)).astype(np.uint32)
            pieces = (hashes[start : start + _PIECE] for start in range(0, len(hashes), _PIECE))
            signatures[index] = np.min([(factors * piece + shifts).min(axis=1) for piece in pieces], axis=0)
            if progress and index % 1000 == 0:
                progress(index, len(self.texts))
        if progress:
            progress(len(self.texts), len(self.texts))
        return signatures

    def _candidates(self, signatures: NDArray[np.uint32], band: slice) -> Iterator[tuple[int, int]]:
        """Yield pairs of texts whose signatures agree in a band and that no cluster holds both of yet."""
        keys = _mixed(_folded(signatures[:, band]) ^ self.numbers)
        # Those in a bucket that are alike beyond the band stand beside each other.
        order = np.lexsort((signatures[:, band.stop % PERMUTATIONS], keys))
        start, keys = np.arange(len(order)), keys[order]
        for distance in range(1, _WINDOW + 1):
            start = start[start + distance < len(order)]
            start = start[keys[start] == keys[start + distance]]
            if not len(start):
                return
            roots = self.forest.roots()
            left, right = order[start], order[start + distance]
            apart = roots[left] != roots[right]
            yield from self._alike(signatures, left[apart], right[apart])

    def _alike(
        self, signatures: NDArray[np.uint32], left: NDArray[np.int64], right: NDArray[np.int64]
    ) -> Iterator[tuple[int, int]]:
        for begin in range(0, len(left), _PIECE):
            first, second = left[begin : begin + _PIECE], right[begin : begin + _PIECE]
            alike = (signatures[first] == signatures[second]).mean(axis=1) >= self.threshold - _SLACK
            yield from zip(first[alike].tolist(), second[alike].tolist(), strict=True)

    def _resemble(self, left: int, right: int) -> bool:
        first, second = self.runs(left), self.runs(right)
        shared = len(np.intersect1d(first, second, assume_unique=True))
        return shared >= self.threshold * (len(first) + len(second) - shared)


def _bands(threshold: float) -> Iterator[slice]:
    """Yield the bands of a signature: as wide as still finds a pair at the threshold almost surely."""
    wide = [rows for rows in range(1, 9) if (1 - threshold**rows) ** (PERMUTATIONS // rows) <= _MISSED]
    rows = max(wide, default=1)
    for start in range(0, PERMUTATIONS - rows + 1, rows):
        yield slice(start, start + rows)


def runs(text: str) -> NDArray[np.uint64]:
    """Return a hash of 64 bits for each run of letters; for a shorter text, one of it all."""
    letters = np.frombuffer(bare(text).encode("utf-32-le"), "<u4").astype(np.uint64)
    length = min(RUN, len(letters))
    count = len(letters) - length + 1
    hashes = np.zeros(count, np.uint64)
    for offset in range(length):
        hashes = hashes * np.uint64(0x100000001B3) + letters[offset : offset + count]
    return _mixed(hashes)


def _folded(rows: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a hash of 64 bits of each row."""
    folded = np.zeros(len(rows), np.uint64)
    for column in rows.T:
        folded = _mixed(folded ^ column)
    return folded


def _mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit of a value over all bits of its hash: the finaliser of SplitMix64 (Steele et al., 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
