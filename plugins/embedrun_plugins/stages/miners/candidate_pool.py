"""Whose negatives are sought, among which passages, and which of them are none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from embedrun.artifacts import CUT_FROM, Document, Judgement, Query, RetrievalSet
from embedrun.errors import DataError
from embedrun_plugins.stages.texts.keys import near_key

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Pool:
    """The queries to mine for and the passages that they search; each distinct text is one passage."""

    queries: Sequence[Query]
    answers: Sequence[tuple[Document, ...]]
    """For each query the documents that are relevant for it in training."""
    answers_anywhere: Sequence[tuple[Document, ...]]
    """For each query the documents that are relevant for it, or for an equal one, in any split, and what they were cut
    from."""
    excluded: Sequence[frozenset[int]]
    """For each query the near keys of texts that are not its negatives: all those answers, negatives that it has
    already, and the query itself."""
    documents: Sequence[Document]
    keys: NDArray[np.uint64]
    """(documents,): the near key of each whole text."""
    bare_keys: NDArray[np.uint64]
    """(documents,): the near key of each text without its title."""
    held_out: int
    """Passages left out since they are relevant for a question held out."""

    @classmethod
    def of(cls, data: RetrievalSet, *, use_held_out: bool, given: Iterable[Judgement]) -> Pool:
        """Take a set's train split; `given` are negatives that it has already.

        Raises DataError where nothing is asked or searched, or a judgement names what does not exist.
        """
        relevant = data.relevant("train")
        queries = _asked(data, relevant)
        barred = set() if use_held_out else _held_out(data)
        documents, keys, left_out = _searched(data, barred)
        bare = [near_key(d.text) if d.title else key for d, key in zip(documents, keys, strict=True)]
        anywhere = _answers_anywhere(data, queries)
        return cls(
            queries=queries,
            answers=[tuple(_documents(data, ids)) for ids in relevant.values()],
            answers_anywhere=anywhere,
            excluded=_excluded(data, queries, anywhere, given),
            documents=documents,
            keys=np.array(keys, dtype=np.uint64),
            bare_keys=np.array(bare, dtype=np.uint64),
            held_out=left_out,
        )

    def allowed(self, first: int, positions: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Say which of the passages at (queries, ranks), from query `first` on, may be negatives; -1 is none."""
        permitted = positions >= 0
        for row, row_positions in enumerate(positions):
            excluded = np.fromiter(self.excluded[first + row], dtype=np.uint64)
            permitted[row] &= ~np.isin(self.keys[row_positions], excluded) & ~np.isin(
                self.bare_keys[row_positions], excluded
            )
        return permitted


def _asked(data: RetrievalSet, relevant: Iterable[str]) -> list[Query]:
    if not relevant:
        raise DataError("no query of the train split has a relevant document, so there is nothing to mine for")
    for query in relevant:
        if query not in data.queries:
            raise DataError(f"qrels/train.tsv: judges query '{query}', which queries.jsonl does not hold")
    return [data.queries[query] for query in relevant]


def _held_out(data: RetrievalSet) -> set[int]:
    """Return the near keys of what is relevant for a question held out, and of what that was cut from."""
    held_out = {d for split in data.splits if split != "train" for ids in data.relevant(split).values() for d in ids}
    return {near_key(document.full_text) for document in _documents(data, _with_wholes(data, held_out))}


def _searched(data: RetrievalSet, barred: set[int]) -> tuple[list[Document], list[int], int]:
    """Return the distinct passages that may be negatives, their near keys, and how many are barred."""
    documents: dict[str, Document] = {}
    keys: list[int] = []
    left_out = 0
    for document in data.searched("train"):
        text = document.full_text
        if not text or text in documents:
            continue
        key = near_key(text)
        if key in barred:
            left_out += 1
        else:
            documents[text] = document
            keys.append(key)
    if left_out and not documents:
        raise DataError(
            f"no passage may be a negative: all {left_out} that the train split searches are relevant for questions "
            "held out; set negatives.use_held_out: true, or give the corpus more passages"
        )
    if not documents:
        raise DataError("the train split has no passages to search: the corpus is empty")
    return list(documents.values()), keys, left_out


def _answers_anywhere(data: RetrievalSet, queries: Sequence[Query]) -> list[tuple[Document, ...]]:
    """Collect what answers each query in any split; queries with one near key share their answers."""
    answers: dict[int, set[str]] = {}
    for split in data.splits:
        for query, documents in data.relevant(split).items():
            if query in data.queries:
                answers.setdefault(near_key(data.queries[query].text), set()).update(documents)
    ids = (sorted(_with_wholes(data, answers[near_key(query.text)])) for query in queries)
    return [tuple(_documents(data, documents)) for documents in ids]


def _excluded(
    data: RetrievalSet, queries: Sequence[Query], answers: Sequence[tuple[Document, ...]], given: Iterable[Judgement]
) -> list[frozenset[int]]:
    negatives: dict[str, set[str]] = {}
    for judgement in given:
        negatives.setdefault(judgement.query_id, set()).add(judgement.document_id)
    keys: dict[str, int] = {}
    excluded = []
    for query, answering in zip(queries, answers, strict=True):
        documents = {document.id: document for document in (*answering, *_documents(data, negatives.get(query.id, ())))}
        for document in (document for id_, document in documents.items() if id_ not in keys):
            keys[document.id] = near_key(document.full_text)
        excluded.append(frozenset({near_key(query.text), *(keys[id_] for id_ in documents)}))
    return excluded


def _with_wholes(data: RetrievalSet, ids: Iterable[str]) -> set[str]:
    """Add to documents those that they were cut from, where a filter has not taken them out."""
    named = set(ids)
    wholes = {str(d.metadata[CUT_FROM]) for d in _documents(data, named) if CUT_FROM in d.metadata}
    return named | (wholes & data.documents.keys())


def _documents(data: RetrievalSet, ids: Iterable[str]) -> Iterable[Document]:
    for id_ in ids:
        document = data.documents.get(id_)
        if document is None:
            raise DataError(f"a judgement names document '{id_}', which corpus.jsonl does not hold")
        yield document
