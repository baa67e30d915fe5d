"""The miner `bm25`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun_plugins.stages.miners.base_miner import BaseMiner

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.ranking import Candidates

Language = Literal[
    "english",
    "danish",
    "dutch",
    "french",
    "german",
    "italian",
    "korean",
    "norwegian",
    "portuguese",
    "russian",
    "spanish",
    "swedish",
    "turkish",
]


class Bm25(BaseMiner):
    """Negatives that share the query's words: passages of a range of ranks by BM25 (bm25s, Lù 2024).

    A negative's score is BM25's; passages that share no word are no candidates. Words are not stemmed.
    """

    type: Literal["bm25"] = "bm25"
    packages: ClassVar[Mapping[str, str]] = {"bm25s": "mining"}
    k1: float = Field(1.5, ge=0)
    """How much a word's repetition counts."""
    b: float = Field(0.75, ge=0, le=1)
    """How much long passages are discounted."""
    method: Literal["lucene", "robertson", "atire"] = "lucene"
    """Variant of BM25."""
    stop_words: Language | None = "english"
    """Language whose commonest words are not counted; null counts all."""
    words: str = r"(?u)\b\w\w+\b"
    """Regular expression that finds the words of a lower-cased text; for languages without spaces, such as Chinese,
    (?u)\\w makes each letter a word."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        try:
            groups = re.compile(self.words).groups
        except re.error as error:
            yield f"words: {self.words!r} is not a regular expression: {error}"
        else:
            if groups > 1:
                yield f"words: {self.words!r} captures {groups} groups, but a word is one; write (?:…) for (…)"

    def candidates(self, ctx: Context, pool: Pool, model: Model) -> Iterator[Candidates]:  # noqa: ARG002  # reads words
        from embedrun_plugins.stages.miners.bm25_index import search

        bm25 = {"k1": self.k1, "b": self.b, "method": self.method}
        return search(ctx, pool, self.range, words=self.words, stop_words=self.stop_words, bm25=bm25)
