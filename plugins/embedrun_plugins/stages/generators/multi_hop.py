"""Which passages are asked about together, in questions that only all of them answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import SPLITS
from embedrun.context import Context
from embedrun.errors import DataError, PluginError
from embedrun_plugins.stages.generators.question_set import AskedPassage
from embedrun_plugins.stages.generators.question_styles import hashed_order

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CANDIDATES = 20
"""Most similar passages that a partner is sought among."""
_WORDS = r"(?u)\b\w\w+\b"
_BM25 = {"k1": 1.5, "b": 0.75, "method": "lucene"}
_BATCH = 32


class MultiHop(BaseModel):
    """Questions that several passages answer only together, as HotpotQA (Yang et al., 2018) has them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    passages: int = Field(2, ge=2, le=5)
    """Passages that a question needs."""
    share: float = Field(0.2, gt=0, le=1)
    """Share of the passages that are asked about together with similar ones, and not alone."""
    by: Literal["bm25", "model"] = "bm25"
    """What finds similar passages of the same split: the words that they share, or the vectors of the base model."""
    different_sources: bool = False
    """Whether the passages must be from different sources, as their metadata says (source, filing or file)."""
    prompt: str | None = None
    """The prompt for these, with the same variables; {passage} becomes all passages, each between <passage> tags. By
    default one of ours, also where `prompt` is set."""


def chosen(passages: Sequence[AskedPassage], multi_hop: MultiHop, seed: int) -> list[int]:
    """Return the indices of the passages that are asked about together with others, in their order."""
    count = round(multi_hop.share * len(passages))
    return sorted(hashed_order(passages, f"multi_hop {seed}")[:count])


def grouped(
    ctx: Context, first: Sequence[AskedPassage], pool: Sequence[AskedPassage], multi_hop: MultiHop
) -> list[tuple[AskedPassage, ...]]:
    """Return for each of the passages itself and its partners of the pool, itself alone where there are too few.

    Partners are the most similar passages of the same split, none of them the same or nearly the same as another of the
    group; no two groups are the same passages. Raises DataError where the passages hold no words to compare.
    """
    clusters = _clusters(ctx, pool)
    groups: dict[str, tuple[AskedPassage, ...]] = {}
    taken: set[frozenset[str]] = set()
    for split in SPLITS:
        members = [passage for passage in pool if passage.split == split]
        asked_first = [passage for passage in first if passage.split == split]
        if not asked_first:
            continue
        for passage, similar in zip(asked_first, _similar(ctx, asked_first, members, multi_hop), strict=True):
            partners = [members[index] for index in similar.tolist()]
            group = _group(passage, partners, multi_hop, clusters, taken)
            taken.add(frozenset(member.document.id for member in group))
            groups[f"{split} {passage.document.id}"] = group
    return [groups[f"{passage.split} {passage.document.id}"] for passage in first]


def _group(
    passage: AskedPassage,
    partners: Sequence[AskedPassage],
    multi_hop: MultiHop,
    clusters: dict[str, int],
    taken: set[frozenset[str]],
) -> tuple[AskedPassage, ...]:
    """Return a passage with the first partners that fit, or alone."""
    group = [passage]
    for partner in partners:
        if not _fits(partner, group, multi_hop, clusters):
            continue
        ids = frozenset(member.document.id for member in (*group, partner))
        if len(ids) < multi_hop.passages:
            group.append(partner)
        elif ids not in taken:
            return (*group, partner)
    return (passage,)


def _fits(partner: AskedPassage, group: Sequence[AskedPassage], multi_hop: MultiHop, clusters: dict[str, int]) -> bool:
    if any(clusters[partner.document.id] == clusters[member.document.id] for member in group):
        return False
    return not multi_hop.different_sources or all(_source(partner) != _source(member) for member in group)


def _source(passage: AskedPassage) -> object:
    metadata = passage.document.metadata
    return next((metadata[key] for key in ("source", "filing", "file") if metadata.get(key)), passage.document.id)


def _clusters(ctx: Context, pool: Sequence[AskedPassage]) -> dict[str, int]:
    """Return the cluster of near copies that each passage belongs to, by its id."""
    from embedrun_plugins.stages.texts.near_duplicates import document_clusters

    documents = list({passage.document.id: passage.document for passage in pool}.values())
    numbers = document_clusters(documents, progress=partial(ctx.progress, "compare passages"))
    return {document.id: int(number) for document, number in zip(documents, numbers, strict=True)}


def _similar(
    ctx: Context, first: Sequence[AskedPassage], members: Sequence[AskedPassage], multi_hop: MultiHop
) -> Iterator[NDArray[np.int64]]:
    """Yield for each passage the indices of the members most similar to it, best first; it is among them."""
    queries = [passage.document.full_text for passage in first]
    texts = [member.document.full_text for member in members]
    return (_by_words if multi_hop.by == "bm25" else _by_vectors)(ctx, queries, texts)


def _by_words(ctx: Context, queries: Sequence[str], texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    from bm25s.tokenization import Tokenizer

    from embedrun_plugins.stages.texts.word_index import build, highest

    tokenizer = Tokenizer(splitter=_WORDS, stopwords=None)
    word_index = build(ctx, texts, tokenizer, _BM25)
    if word_index is None:
        raise DataError("multi_hop: no passage holds words that spaces set apart; set multi_hop.by to model")
    read = tokenizer.streaming_tokenize(list(queries), update_vocab="never", allow_empty=False)
    for ids in ctx.track(read, "find similar passages", len(queries)):
        yield highest(word_index.get_scores_from_ids(ids), _CANDIDATES)[0]


def _by_vectors(ctx: Context, queries: Sequence[str], texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    from embedrun_plugins.models.encode import embed
    from embedrun_plugins.models.nearest import nearest

    if ctx.model is None:
        raise PluginError("multi_hop: the engine gives the generator no model")
    model = ctx.model.load(ctx.device)
    vectors = embed(model, texts, "document", _BATCH, partial(ctx.progress, "encode passages"))
    indices = {text: index for index, text in enumerate(texts)}
    neighbours = nearest(
        vectors[[indices[query] for query in queries]],
        vectors,
        _CANDIDATES,
        similarity=model.similarity_fn_name,
        device=model.device,
        progress=partial(ctx.progress, "find similar passages"),
    )[vectors.shape[1]]
    yield from neighbours.positions
