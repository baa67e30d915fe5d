"""A share of the training data: the same one every time, and a part of every larger one."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b

from embedrun.artifacts import Judgement, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.texts.keys import joined

_BYTES = 8


def whole(share: float | None) -> bool:
    """Say whether a share is all of it."""
    return share is None or share == 1


def shared(ctx: Context, data: RetrievalSet, share: float | None) -> RetrievalSet:
    """Return the set with a share of its training queries, written below `ctx.state`; the set itself where that is all.

    Raises DataError where so small a share holds no query.
    """
    if share is None or whole(share):
        return data
    chosen = chosen_queries(data, share, ctx.seed)
    every = data.relevant("train")
    ctx.note("share_queries", len(chosen))
    if not chosen:
        units = len(set(_units(data, list(every))))
        raise DataError(
            f"trainer.share: {share:g} of {len(every):,} training queries, which are {units:,} independent units, "
            "holds none; train on a larger share"
        )

    def kept(judgements: list[Judgement]) -> Iterator[Judgement]:
        return (judgement for judgement in judgements if judgement.query_id in chosen)

    return RetrievalSet.write(
        ctx.state / "share",
        documents=data.documents.values(),
        queries=data.queries.values(),
        qrels={split: kept(data.qrels(split)) if split == "train" else data.qrels(split) for split in data.splits},
        negatives=kept(data.negatives()),
    )


def chosen_queries(data: RetrievalSet, share: float, seed: int) -> set[str]:
    """Return the training queries of a share.

    Queries that share a relevant document, or have nearly equal ones, go together: they are one independent unit. Each
    unit has a place from 0 to 1 by the hash of the seed and of its first text, and belongs to every share above it. So
    shares are nested, and data that is added leaves those that were there in their places; a share's size is as large
    as chance has it, some units more or less.
    """
    queries = list(data.relevant("train"))
    firsts: dict[int, str] = {}
    units = _units(data, queries)
    for query, unit in zip(queries, units, strict=True):
        text = data.queries[query].text
        firsts[unit] = min(text, firsts.get(unit, text))
    inside = {unit for unit, text in firsts.items() if _place(text, seed) < share}
    return {query for query, unit in zip(queries, units, strict=True) if unit in inside}


def _place(text: str, seed: int) -> float:
    digest = blake2b(f"{seed}\x1f{text}".encode(), digest_size=_BYTES).digest()
    return float(int.from_bytes(digest) / 256**_BYTES)


def _units(data: RetrievalSet, queries: list[str]) -> list[int]:
    """Return each query's unit."""
    from embedrun_plugins.stages.texts.near_duplicates import document_clusters

    relevant = data.relevant("train")
    wanted = {document for query in queries for document in relevant[query]}
    documents = [document for document in data.documents.values() if document.id in wanted]
    clusters = document_clusters(documents).tolist()
    numbers = {document.id: number for document, number in zip(documents, clusters, strict=True)}
    return joined([[numbers.get(document, document) for document in relevant[query]] for query in queries])
