"""A split's retrieval task: what is asked, what is searched, and what each ranking is worth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from embedrun.artifacts import Document, Encoder, Query, RetrievalSet, Split
from embedrun.errors import DataError, UserError
from embedrun_plugins.models.encode import distinct, embed
from embedrun_plugins.models.nearest import Neighbours, Similarity, nearest
from embedrun_plugins.stages.evaluators.metrics import JudgedRankings

Progress = Callable[[str, float, float], None]
TooFew = Callable[[Sequence[int], int], None]
"""Told which dimensions are more than the model's, and how many it has."""
Integers = NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.generic)


@dataclass(frozen=True)
class EncodingOptions:
    """How texts are encoded, as `embed` takes it."""

    batch_size: int = 32
    shards: Path | None = None


@dataclass(frozen=True)
class Retrieved:
    """The documents found for each query, best first; among equal scores the lower id first."""

    places: Integers
    """(queries, depth): places among the task's documents; -1 where there are no more."""
    scores: NDArray[np.float32]
    """(queries, depth): similarities; -infinity where there are no more."""


@dataclass(frozen=True)
class Task:
    """The queries of a split that have a relevant document, and the documents that they search, by id."""

    queries: Sequence[Query]
    documents: Sequence[Document]
    relevant: Sequence[Mapping[str, float]]
    """For each query its relevant documents' ids and gains."""
    excluded: Integers
    """For each query the place of the document that is no result, or -1."""
    warnings: Sequence[str]

    @classmethod
    def of(cls, data: RetrievalSet, split: Split, *, graded: bool, ignore_identical_ids: bool | None) -> Task:
        """Take a split's task from a set.

        Raises DataError where there is nothing to ask or to search, a judged query has no text, or a score is no whole
        number although gains are graded.
        """
        judged = data.relevant(split)
        queries = _asked(data, split, judged)
        documents = sorted(data.searched(split), key=lambda document: document.id)
        if not documents:
            raise DataError(f"the '{split}' split has no documents to search: the corpus is empty")
        gains = [_gains(query, judged[query.id], split, graded=graded) for query in queries]
        positions = {document.id: position for position, document in enumerate(documents)}
        twins = [positions.get(query.id, -1) for query in queries]
        same = [
            position >= 0 and _is_itself(query, documents[position], relevant)
            for query, relevant, position in zip(queries, gains, twins, strict=True)
        ]
        drop = same if ignore_identical_ids is None else [ignore_identical_ids] * len(queries)
        excluded = np.where(drop, twins, -1).astype(np.int64)
        warnings = [*_missing(gains, positions), *_numbered(twins, same, ignore_identical_ids)]
        return cls(queries, documents, gains, excluded, warnings)

    @cached_property
    def _judgements(self) -> tuple[Integers, Integers, NDArray[np.float64]]:
        """Query, document (-1 where it is not searched) and gain of each judgement; a query's best come first."""
        positions = {document.id: position for position, document in enumerate(self.documents)}
        rows = [
            (query, positions.get(document, -1), gain)
            for query, relevant in enumerate(self.relevant)
            for document, gain in sorted(relevant.items(), key=lambda item: -item[1])
        ]
        query, position, gain = zip(*rows, strict=True)
        return np.array(query, np.int64), np.array(position, np.int64), np.array(gain, np.float64)

    def judge(self, retrieved: Retrieved) -> JudgedRankings:
        query, position, gain = self._judgements
        size = len(self.documents)
        searched = position >= 0
        keys = query[searched] * size + position[searched]
        order = keys.argsort()
        keys, values = np.append(keys[order], -1), np.append(gain[searched][order], 0.0)
        wanted = np.arange(len(self.queries))[:, None] * size + retrieved.places
        at = np.searchsorted(keys[:-1], wanted)
        gains = np.where((keys[at] == wanted) & (retrieved.places >= 0), values[at], 0.0)
        ideal = _rows(query, gain, gains.shape, 0.0)
        return JudgedRankings(gains, ideal, np.bincount(query, minlength=len(self.queries)))

    def by_query_id(self, values: NDArray[np.float64]) -> dict[str, float]:
        return {query.id: value for query, value in zip(self.queries, values.tolist(), strict=True)}


def refused(above: Sequence[int], full: int) -> None:
    raise UserError(
        f"evaluator.dimensions: the model's vectors have {full} dimensions, so {', '.join(map(str, above))} cannot "
        f"be scored; name only dimensions up to {full}"
    )


def retrieve(
    model: Encoder,
    task: Task,
    *,
    depth: int,
    dimensions: Sequence[int],
    similarity: Similarity | None,
    encoding: EncodingOptions,
    progress: Progress,
    too_few: TooFew = refused,
) -> dict[str, Retrieved]:
    """Search with every query: by the full vectors, named "", and by the leading dimensions, named "dim_128" and so on.

    Each distinct text is encoded once. Where more dimensions are asked for than the model has, `too_few` decides:
    what it does not refuse is left out.
    """
    questions = [query.text for query in task.queries]
    query_vectors = embed(
        model, questions, "query", encoding.batch_size, partial(progress, "encode queries"), encoding.shards
    )
    if above := [dimension for dimension in dimensions if dimension > query_vectors.shape[1]]:
        too_few(above, query_vectors.shape[1])
    dimensions = [dimension for dimension in dimensions if dimension not in above]
    texts, index = distinct([document.full_text for document in task.documents])
    searched = embed(
        model, texts, "document", encoding.batch_size, partial(progress, "encode documents"), encoding.shards
    )
    rankings = nearest(
        query_vectors,
        searched,
        depth + 1,
        similarity=similarity or model.similarity_fn_name,
        dimensions=dimensions,
        device=model.device,
        progress=partial(progress, "search"),
    )
    labels = {"": query_vectors.shape[1], **{f"dim_{dimension}": dimension for dimension in dimensions}}
    return {label: _expanded(rankings[size], index, task.excluded, depth) for label, size in labels.items()}


def _expanded(ranking: Neighbours, index: Integers, excluded: Integers, depth: int) -> Retrieved:
    """Put the documents in the place of their distinct texts, lower ids first, without those that are no result."""
    order = index.argsort(kind="stable")
    counts = np.bincount(index)
    starts = counts.cumsum() - counts
    # Of a text's documents, no more than `depth`, and one that may be excluded, can be among the first.
    copies = np.minimum(counts, depth + 1)[ranking.positions.ravel()]
    cell = np.repeat(np.arange(ranking.positions.size), copies)
    nth = np.arange(len(cell)) - np.repeat(copies.cumsum() - copies, copies)
    places = order[starts[ranking.positions.ravel()[cell]] + nth]
    query, scores = cell // ranking.positions.shape[1], ranking.scores.ravel()[cell]
    kept = places != excluded[query]
    query, places, scores = query[kept], places[kept], scores[kept]
    best = np.lexsort((places, -scores, query))
    shape = (len(ranking.positions), depth)
    return Retrieved(_rows(query[best], places[best], shape, -1), _rows(query[best], scores[best], shape, -np.inf))


def _rows(row: Integers, values: NDArray[_Number], shape: tuple[int, ...], fill: float) -> NDArray[_Number]:
    """Lay values, sorted by row, out as a matrix; a row's surplus is cut off, its lack filled."""
    counts = np.bincount(row, minlength=shape[0])
    column = np.arange(len(row)) - (counts.cumsum() - counts)[row]
    matrix = np.full(shape, fill, dtype=values.dtype)
    within = column < shape[1]
    matrix[row[within], column[within]] = values[within]
    return matrix


def _asked(data: RetrievalSet, split: Split, judged: Mapping[str, Mapping[str, float]]) -> list[Query]:
    if not judged:
        have = ", ".join(name for name in data.splits if data.relevant(name)) or "none"
        raise DataError(
            f"no query of the '{split}' split has a relevant document (splits that have such queries: {have}); hold "
            "some out with source.holdout, or choose another split"
        )
    unknown = [query for query in judged if query not in data.queries]
    if unknown:
        raise DataError(
            f"qrels/{split}.tsv: judges query '{unknown[0]}', which queries.jsonl does not hold"
            + (f", and {len(unknown) - 1} more" if len(unknown) > 1 else "")
        )
    return [data.queries[query] for query in judged]


def _gains(query: Query, relevant: Mapping[str, float], split: Split, *, graded: bool) -> dict[str, float]:
    if not graded:
        return dict.fromkeys(relevant, 1.0)
    for document, score in relevant.items():
        if not float(score).is_integer():
            raise DataError(
                f"qrels/{split}.tsv: query '{query.id}', document '{document}': graded gains must be whole numbers, "
                f"not {score}; set the evaluator's gains to binary"
            )
    return dict(relevant)


def _is_itself(query: Query, document: Document, relevant: Mapping[str, float]) -> bool:
    texts = (" ".join(text.split()).casefold() for text in (document.text, document.full_text))
    return document.id not in relevant and " ".join(query.text.split()).casefold() in texts


def _missing(gains: Sequence[Mapping[str, float]], positions: Mapping[str, int]) -> Iterator[str]:
    count = sum(document not in positions for relevant in gains for document in relevant)
    if count:
        yield f"{count} relevant documents are not among those searched; they count as not found"


def _numbered(twins: Sequence[int], same: Sequence[bool], ignore: bool | None) -> Iterator[str]:
    count = sum(position >= 0 and not itself for position, itself in zip(twins, same, strict=True))
    if count and ignore is not False:
        kept = "are left out" if ignore else "stay results; ignore_identical_ids: true drops them, as BEIR does"
        yield f"{count} documents have a query's id but not its text: they {kept}"
