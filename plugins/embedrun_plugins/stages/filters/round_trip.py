"""Questions that do not lead back to their passage."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedrun.artifacts import Document, RetrievalSet, Split
from embedrun.context import Context, Unkeyed
from embedrun.errors import PluginError
from embedrun_plugins.stages.filters.base_filter import FilterResult, JudgementFilter, shown

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class RoundTrip(JudgementFilter):
    """Keeps a question only if the base model finds its own passage, or a twin of it, among the first k.

    Round-trip consistency, as Alberti et al. (Synthetic QA Corpora Generation with Roundtrip Consistency, 2019) filter
    generated questions, and with retrieval Dai et al. (Promptagator, 2023): what leads elsewhere is often a bad
    question. With a small k the questions that are hard for the model, which teach it most, go, too.
    """

    type: Literal["round_trip"] = "round_trip"
    k: int = Field(20, ge=1)
    """The passage must be among so many; equal passages count as one. Promptagator, whose model was trained on its
    questions first, has 1."""
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits that it applies to. On dev or test it takes out what the base model fails at, and so favours it."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once."""

    def uses_model(self) -> bool:
        return True

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        if ctx.model is None:
            raise PluginError("round_trip: the engine gives it no model")
        model = ctx.model.load(ctx.device)
        lost: set[tuple[Split, str]] = set()
        examples: list[object] = []
        for split in self.splits:
            relevant = data.relevant(split)
            queries = [id_ for id_ in relevant if id_ in data.queries]
            elsewhere = self._found(ctx, model, data, split, queries)
            for query, first in elsewhere.items():
                lost.add((split, query))
                examples.append({"query": shown(data.queries[query].text), "found": shown(first.full_text)})
            ctx.note(f"{split}_found", round(1 - len(elsewhere) / len(queries), 4) if queries else None)
            if elsewhere and split != "train":
                ctx.warn(
                    f"{len(elsewhere)} of {len(queries)} queries of the {split} split are removed because the base "
                    "model fails at them: scores on what is left favour it"
                )
        qrels = {
            split: [qrel for qrel in data.qrels(split) if (split, qrel.query_id) not in lost] for split in data.splits
        }
        left = FilterResult(qrels, data.documents.values(), data.negatives(), examples)
        return self.publish(ctx, data, left, f"raise k, which is {self.k}")

    def _found(
        self, ctx: Context, model: SentenceTransformer, data: RetrievalSet, split: Split, ids: Sequence[str]
    ) -> dict[str, Document]:
        """Return the queries that do not find their passage, each with the document found first."""
        from embedrun_plugins.models.encode import embed
        from embedrun_plugins.models.nearest import nearest

        if not ids:
            return {}
        searched, answers = _searched(ctx, data, split)
        texts, shards = [data.queries[query].text for query in ids], ctx.state / "vectors"
        progress = partial(ctx.progress, f"encode {split} queries")
        queries = embed(model, texts, "query", self.batch_size, progress, shards)
        passages, progress = [document.full_text for document in searched], partial(ctx.progress, "encode passages")
        documents = embed(model, passages, "document", self.batch_size, progress, shards)
        ranking = nearest(
            queries,
            documents,
            self.k,
            similarity=model.similarity_fn_name,
            device=model.device,
            progress=partial(ctx.progress, "search"),
        )[queries.shape[1]]
        ranked = dict(zip(ids, ranking.positions.tolist(), strict=True))
        return {
            query: searched[positions[0]]
            for query, positions in ranked.items()
            if not answers[query].intersection(positions)
        }


def _searched(ctx: Context, data: RetrievalSet, split: Split) -> tuple[list[Document], dict[str, set[int]]]:
    """Return the documents searched, of equal ones the first, and the places of each query's own and their twins."""
    from embedrun_plugins.stages.texts.near_duplicates import document_clusters

    clusters = document_clusters(list(data.documents.values()), progress=partial(ctx.progress, "compare passages"))
    groups: dict[str, int] = dict(zip(data.documents, clusters.tolist(), strict=True))
    searched = list({document.full_text: document for document in reversed(data.searched(split))}.values())[::-1]
    positions: dict[int, set[int]] = {}
    for position, document in enumerate(searched):
        positions.setdefault(groups[document.id], set()).add(position)
    relevant = data.relevant(split)
    return searched, {
        query: {position for document in documents for position in positions.get(groups[document], ())}
        for query, documents in relevant.items()
    }
