"""How much of a test is trained on, and how far a perfect retriever could get in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import log2

from embedrun.artifacts import SPLITS, Split

DEPTH = 10
_DISCOUNTS = [1 / log2(rank + 1) for rank in range(1, DEPTH + 1)]


def perfect_ndcg(relevant: int, answering: int) -> float:
    """Return the expected nDCG@10 of a retriever that makes no mistake.

    It puts the `answering` documents on top, but cannot tell them apart, so their order is random; only `relevant` of
    them are judged relevant (all alike). 1 where all of them are; 0.815 for one of two equal passages.
    """
    if not relevant:
        return 0.0
    gained = sum(_DISCOUNTS[:answering]) * relevant / answering
    return gained / sum(_DISCOUNTS[:relevant])


@dataclass(frozen=True)
class Leak:
    """What a held-out split shares with training, in distinct passages and queries judged relevant."""

    passages: int
    passages_trained_on: int
    queries: int
    queries_trained_on: int
    perfect_ndcg: float
    """Mean nDCG@10 that a perfect retriever is expected to reach by this split's judgements.

    A query's answering documents are those judged relevant for it in any split and their equals in the corpus, so it
    falls below 1 where a query's other passages are judged in another split only, or where equal passages have ids of
    their own."""
    perfect_ndcg_unmerged: float | None = None
    """The same if each row of the file were a query with its own copy of its passage as the only relevant document,
    so that the t rows with an equal passage compete: the mean over rows of perfect_ndcg(1, t)."""

    @property
    def leaks(self) -> bool:
        return self.passages_trained_on > 0 or self.queries_trained_on > 0

    def figures(self) -> dict[str, float]:
        """Return what is kept as a note; figures of nDCG are rounded to 4 digits."""
        figures: dict[str, float] = {
            "passages": self.passages,
            "passages_trained_on": self.passages_trained_on,
            "queries": self.queries,
            "queries_trained_on": self.queries_trained_on,
            "best_ndcg@10": round(self.perfect_ndcg, 4),
        }
        if self.perfect_ndcg_unmerged is not None:
            figures["best_ndcg@10_unmerged"] = round(self.perfect_ndcg_unmerged, 4)
        return figures

    def warning(self, split: Split) -> str:
        share = self.passages_trained_on / self.passages if self.passages else 0.0
        text = (
            f"the {split} split leaks: {self.passages_trained_on} of its {self.passages} passages ({share:.1%}) and "
            f"{self.queries_trained_on} of its {self.queries} queries are also in the train split; the best nDCG@10 "
            f"that a perfect retriever could reach in it is {self.perfect_ndcg:.3f}"
        )
        if self.perfect_ndcg_unmerged is not None:
            text += f" ({self.perfect_ndcg_unmerged:.3f} if equal passages were not merged)"
        return text


Relevant = Mapping[Split, Iterable[tuple[int, int]]]
"""The distinct (query, document) numbers judged relevant in each split; iterated over several times."""


def find_leak(
    relevant: Relevant,
    split: Split,
    document_keys: Sequence[int] | None = None,
    query_keys: Sequence[int] | None = None,
) -> Leak:
    """Compare a held-out split with the train split.

    `document_keys` gives each document's key, shared by equal texts, and `query_keys` each query's; None where equal
    texts have one number.
    """
    passages = {_class(document, document_keys) for _, document in relevant[split]}
    judged: dict[int, int] = {}
    for query, _ in relevant[split]:
        judged[query] = judged.get(query, 0) + 1
    trained_passages: set[int] = set()
    trained_queries: set[int] = set()
    for query, document in relevant.get("train", ()):
        trained_passages.add(_class(document, document_keys))
        trained_queries.add(_class(query, query_keys))
    answering = _answering(relevant, judged, document_keys)
    best = sum(perfect_ndcg(count, answering[query]) for query, count in judged.items())
    return Leak(
        passages=len(passages),
        passages_trained_on=len(trained_passages & passages),
        queries=len(judged),
        queries_trained_on=sum(_class(query, query_keys) in trained_queries for query in judged),
        perfect_ndcg=best / len(judged) if judged else 0.0,
    )


def _class(number: int, document_keys: Sequence[int] | None) -> int:
    return number if document_keys is None else document_keys[number]


def _answering(relevant: Relevant, queries: Mapping[int, int], document_keys: Sequence[int] | None) -> dict[int, int]:
    """Count the documents that answer each query: judged relevant in any split, and their equals."""
    answers: dict[int, set[int]] = {query: set() for query in queries}
    for split in SPLITS:
        for query, document in relevant.get(split, ()):
            if query in answers:
                answers[query].add(_class(document, document_keys))
    if document_keys is None:
        return {query: len(documents) for query, documents in answers.items()}
    sizes = dict.fromkeys((number for documents in answers.values() for number in documents), 0)
    for number in document_keys:
        if number in sizes:
            sizes[number] += 1
    return {query: sum(sizes[number] for number in documents) for query, documents in answers.items()}


def perfect_ndcg_unmerged(copies: Sequence[int], held_out: Iterable[int]) -> float:
    """Return the mean of perfect_ndcg(1, t) over held-out rows; `copies` is each document's t, its rows in the file."""
    scores = [perfect_ndcg(1, copies[document]) for document in held_out]
    return sum(scores) / len(scores) if scores else 0.0
