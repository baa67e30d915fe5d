"""Equal and nearly equal queries and passages."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedrun.artifacts import CUT_FROM, SPLITS, Document, Judgement, RetrievalSet, Role, Split
from embedrun.context import Context, Unkeyed
from embedrun_plugins.stages.filters.base_filter import EXAMPLES, FilterResult, JudgementFilter, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Finder = Callable[[Sequence[str], Role], NDArray[np.int64]]


class Duplicates(JudgementFilter):
    """Merges queries, and passages, that are equal or nearly so: whoever is relevant for one is relevant for all.

    Passages that only the queries of one split search are never merged with others', nor queries of different splits
    (`leakage` sees to those). The test's, too, are merged by default: a twin that counts as a mistake favours no model,
    but hides what each can do.
    """

    type: Literal["duplicates"] = "duplicates"
    method: Literal["equal", "minhash", "embedding"] = "minhash"
    """How twins are found. equal: texts that differ only in case, white space and punctuation. minhash: also those
    that share most of their runs of five letters. embedding: also those whose vectors, by the base model, are close."""
    threshold: float | None = Field(None, gt=0, lt=1)
    """Jaccard similarity of runs of letters (minhash; by default 0.9), or cosine (embedding; by default 0.97), from
    which texts are twins."""
    same_numbers: bool = True
    """Whether texts with different digits are never nearly equal: last year's figures are not this year's."""
    queries: bool = True
    """Whether queries of a split are merged: the first stays, with the judgements and negatives of all."""
    documents: Literal["merge", "judge", "keep"] = "merge"
    """merge: the first twin stays in the corpus. judge: all stay, each relevant where one is. keep: nothing is done."""
    splits: tuple[Split, ...] = Field(SPLITS, min_length=1)
    """Splits whose queries are merged, or whose judgements are extended by `documents: judge`. Merged passages are
    merged for all."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once, for embedding."""

    def uses_model(self) -> bool:
        return self.method == "embedding"

    def faults(self) -> Iterable[str]:
        if self.method == "equal" and self.threshold is not None:
            yield "threshold: has no effect with method: equal"
        if not self.queries and self.documents == "keep":
            yield "does nothing: set queries to true, or documents to merge or judge"

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        finder = self._finder(ctx)
        duplicates = self._document_duplicates(finder, data) if self.documents != "keep" else {}
        query_duplicates = self._query_duplicates(finder, data) if self.queries else {}
        qrels = {split: self._judged(data.qrels(split), split, duplicates, query_duplicates) for split in data.splits}
        relevant = {(qrel.query_id, qrel.document_id) for ones in qrels.values() for qrel in ones if qrel.score > 0}
        moved = self._moved(data.negatives(), "train", duplicates, query_duplicates)
        negatives = [qrel for qrel in _highest(moved) if (qrel.query_id, qrel.document_id) not in relevant]
        documents = list(self._corpus(data, duplicates))
        ctx.note("documents_merged", len(data.documents) - len(documents))
        ctx.note("documents_with_a_twin", _with_duplicates(duplicates))
        for split, firsts in query_duplicates.items():
            ctx.note(f"{split}_queries_merged", sum(id_ != first for id_, first in firsts.items()))
        left = FilterResult(qrels, documents, negatives, _examples(data, duplicates, query_duplicates))
        return self.publish(ctx, data, left, "raise the threshold")

    def _document_duplicates(self, finder: _Finder, data: RetrievalSet) -> dict[str, str]:
        """Return the first twin of each whole document, by id."""
        whole = [document for document in data.documents.values() if CUT_FROM not in document.metadata]
        clusters = finder([document.full_text for document in whole], "document")
        first: dict[tuple[int, str], str] = {}
        groups = (
            (int(number), str(document.metadata.get("split"))) for number, document in zip(clusters, whole, strict=True)
        )
        return {
            document.id: first.setdefault(group, document.id) for document, group in zip(whole, groups, strict=True)
        }

    def _query_duplicates(self, finder: _Finder, data: RetrievalSet) -> dict[Split, dict[str, str]]:
        """Return the first twin of each query, by split and id."""
        clusters = finder([query.text for query in data.queries.values()], "query")
        groups = dict(zip(data.queries, clusters.tolist(), strict=True))
        duplicates: dict[Split, dict[str, str]] = {}
        for split in (split for split in data.splits if split in self.splits):
            first: dict[int, str] = {}
            judged = dict.fromkeys(qrel.query_id for qrel in data.qrels(split))
            duplicates[split] = {id_: first.setdefault(groups[id_], id_) for id_ in judged}
        return duplicates

    def _finder(self, ctx: Context) -> _Finder:
        from embedrun_plugins.stages.texts.near_duplicates import THRESHOLD, clusters

        if self.method == "embedding" and ctx.model is not None:
            from embedrun_plugins.stages.filters.embedding_clusters import COSINE, EmbeddingClusters

            return EmbeddingClusters(
                ctx, ctx.model.load(ctx.device), self.threshold or COSINE, self.same_numbers, self.batch_size
            )
        threshold = 1 if self.method == "equal" else self.threshold or THRESHOLD

        def found(texts: Sequence[str], role: Role) -> NDArray[np.int64]:
            progress = partial(ctx.progress, f"compare {_TEXTS[role]}")
            return clusters(texts, threshold, same_numbers=self.same_numbers, progress=progress)

        return found

    def _judged(
        self, judgements: Sequence[Judgement], split: Split, firsts: Mapping[str, str], queries: _QueryDuplicates
    ) -> list[Judgement]:
        moved = self._moved(judgements, split, firsts, queries)
        if self.documents != "judge" or split not in self.splits:
            return _highest(moved)
        members: dict[str, list[str]] = {}
        for id_, first in firsts.items():
            members.setdefault(first, []).append(id_)
        return _highest(
            replace(qrel, document_id=duplicate)
            for qrel in moved
            for duplicate in _all_duplicates(qrel, firsts, members)
        )

    def _moved(
        self, judgements: Iterable[Judgement], split: Split, duplicates: Mapping[str, str], queries: _QueryDuplicates
    ) -> Iterator[Judgement]:
        """Yield judgements with merged queries and documents in the place of their twins."""
        firsts = duplicates if self.documents == "merge" else {}
        first_queries = queries.get(split, {})
        for qrel in judgements:
            query = first_queries.get(qrel.query_id, qrel.query_id)
            document = firsts.get(qrel.document_id, qrel.document_id)
            yield Judgement(query, document, qrel.score)

    def _corpus(self, data: RetrievalSet, duplicates: Mapping[str, str]) -> Iterator[Document]:
        for id_, document in data.documents.items():
            origin = document.metadata.get(CUT_FROM)
            if self.documents != "merge":
                yield document
            elif origin is not None:
                yield replace(document, metadata={**document.metadata, CUT_FROM: duplicates.get(origin, origin)})
            elif duplicates[id_] == id_:
                yield document


_TEXTS: Mapping[Role, str] = {"query": "queries", "document": "passages"}
_QueryDuplicates = Mapping[Split, Mapping[str, str]]


def _highest(qrels: Iterable[Judgement]) -> list[Judgement]:
    """Keep one judgement of each query and document, where it first stands: the highest."""
    highest: dict[tuple[str, str], Judgement] = {}
    for qrel in qrels:
        key = (qrel.query_id, qrel.document_id)
        if key not in highest or highest[key].score < qrel.score:
            highest[key] = qrel
    return list(highest.values())


def _all_duplicates(qrel: Judgement, firsts: Mapping[str, str], members: Mapping[str, Sequence[str]]) -> Sequence[str]:
    first = firsts.get(qrel.document_id)
    return members[first] if first is not None and qrel.score > 0 else [qrel.document_id]


def _with_duplicates(firsts: Mapping[str, str]) -> int:
    sizes = Counter(firsts.values())
    return sum(size for size in sizes.values() if size > 1)


def _examples(data: RetrievalSet, duplicates: Mapping[str, str], queries: _QueryDuplicates) -> list[object]:
    """Show a few twins with the texts that they go by."""
    query_pairs = [(first, id_) for firsts in queries.values() for id_, first in firsts.items() if first != id_]
    document_pairs = [(first, id_) for id_, first in duplicates.items() if first != id_]
    texts = [(data.queries[first].text, data.queries[id_].text) for first, id_ in query_pairs[:EXAMPLES]]
    texts += [
        (data.documents[first].full_text, data.documents[id_].full_text) for first, id_ in document_pairs[:EXAMPLES]
    ]
    return [[shown(text), shown(other)] for text, other in texts]
