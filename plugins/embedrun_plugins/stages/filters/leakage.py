"""Training data that dev or test hold, too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

from pydantic import Field

from embedrun.artifacts import SPLITS, Judgement, RetrievalSet, Split
from embedrun.context import Context
from embedrun_plugins.stages.filters.base_filter import FilterResult, JudgementFilter, shown
from embedrun_plugins.stages.texts.leaks import find_leak


class Leakage(JudgementFilter):
    """Takes out of training what is asked, or is the answer, in dev or test: equal or nearly so.

    Passages stay in the corpus, where the test needs them. Negatives that answer a question of dev or test go, too:
    training would push them away.
    """

    type: Literal["leakage"] = "leakage"
    splits: tuple[Literal["train", "dev"], ...] = Field(("train",), min_length=1)
    """Splits that are cleaned, each of what those after it hold: train of dev's and test's, dev of test's."""
    queries: bool = True
    """Whether queries are taken out that (nearly) equal one of a later split."""
    documents: bool = True
    """Whether passages are taken out of training as answers that (nearly) equal an answer of a later split."""
    threshold: float = Field(0.9, gt=0, le=1)
    """Jaccard similarity of runs of five letters from which texts are nearly equal (by MinHash); 1 takes out only what
    differs in nothing but case, white space and punctuation."""
    same_numbers: bool = True
    """Whether texts with different digits are never nearly equal: last year's figures are not this year's."""

    def faults(self) -> Iterable[str]:
        if not self.queries and not self.documents:
            yield "removes nothing: set queries, documents or both to true"

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        groups = _Groups(ctx, data, self.threshold, same_numbers=self.same_numbers)
        before = {split: data.qrels(split) for split in data.splits}
        qrels = {split: self._clean(before, split, groups) for split in before}
        tested = groups.answers(before, SPLITS[1:])
        negatives = data.negatives()
        if self.documents and "train" in self.splits:
            negatives = [qrel for qrel in negatives if groups.documents[qrel.document_id] not in tested]
        for split in before:
            if split != "train":
                self._report(ctx, split, groups, before, qrels)
        kept = {split: set(judgements) for split, judgements in qrels.items()}
        removed = [qrel for split, judgements in before.items() for qrel in judgements if qrel not in kept[split]]
        examples: list[object] = [
            [shown(data.queries[qrel.query_id].text), shown(data.documents[qrel.document_id].full_text)]
            for qrel in removed
        ]
        left = FilterResult(qrels, data.documents.values(), negatives, examples)
        return self.publish(ctx, data, left, "hold other queries out, by document, or raise the threshold")

    def _clean(self, before: _Qrels, split: Split, groups: _Groups) -> list[Judgement]:
        if split not in self.splits:
            return list(before[split])
        later = SPLITS[SPLITS.index(split) + 1 :]
        queries = groups.questions(before, later) if self.queries else set()
        documents = groups.answers(before, later) if self.documents else set()
        return [
            qrel
            for qrel in before[split]
            if groups.queries[qrel.query_id] not in queries and groups.documents[qrel.document_id] not in documents
        ]

    def _report(self, ctx: Context, split: Split, groups: _Groups, before: _Qrels, after: _Qrels) -> None:
        """Note what leaked, and warn of what still does."""
        ctx.note(f"{split}_leaked", find_leak(groups.numbered(before), split, *groups.keys).figures())
        left = find_leak(groups.numbered(after), split, *groups.keys)
        ctx.note(f"{split}_leaks", left.figures())
        if left.leaks and "train" in self.splits:
            ctx.warn(left.warning(split))


_Qrels = Mapping[Split, Sequence[Judgement]]


class _Groups:
    """The clusters of (nearly) equal queries and documents, by id."""

    def __init__(self, ctx: Context, data: RetrievalSet, threshold: float, *, same_numbers: bool) -> None:
        from embedrun_plugins.stages.texts.near_duplicates import clusters, document_clusters

        texts = [query.text for query in data.queries.values()]
        progress = partial(ctx.progress, "compare queries")
        query_numbers = clusters(texts, threshold, same_numbers=same_numbers, progress=progress).tolist()
        progress = partial(ctx.progress, "compare passages")
        whole = list(data.documents.values())
        document_numbers = document_clusters(whole, threshold, same_numbers=same_numbers, progress=progress).tolist()
        self.queries: dict[str, int] = dict(zip(data.queries, query_numbers, strict=True))
        self.documents: dict[str, int] = dict(zip(data.documents, document_numbers, strict=True))
        self.keys: tuple[list[int], list[int]] = (document_numbers, query_numbers)
        self._query_places = {id_: index for index, id_ in enumerate(data.queries)}
        self._document_places = {id_: index for index, id_ in enumerate(data.documents)}

    def questions(self, qrels: _Qrels, splits: Iterable[Split]) -> set[int]:
        return {self.queries[qrel.query_id] for split in splits for qrel in qrels.get(split, ())}

    def answers(self, qrels: _Qrels, splits: Iterable[Split]) -> set[int]:
        return {self.documents[qrel.document_id] for split in splits for qrel in qrels.get(split, ()) if qrel.score > 0}

    def numbered(self, qrels: _Qrels) -> dict[Split, list[tuple[int, int]]]:
        """Return the numbers of the queries and documents judged relevant, by split."""
        return {
            split: [
                (self._query_places[qrel.query_id], self._document_places[qrel.document_id])
                for qrel in judgements
                if qrel.score > 0
            ]
            for split, judgements in qrels.items()
        }
