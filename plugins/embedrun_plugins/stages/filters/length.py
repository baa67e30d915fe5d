"""Queries and passages that are too short or too long."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from embedrun.artifacts import Judgement, RetrievalSet, Split
from embedrun.context import Context
from embedrun_plugins.stages.filters.base_filter import FilterResult, JudgementFilter, shown
from embedrun_plugins.stages.texts.sentences import words

Unit = Literal["characters", "words", "tokens"]


class Bounds(BaseModel):
    """How long a text may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min: int | None = Field(None, ge=1)
    """Shorter texts are taken out."""
    max: int | None = Field(None, ge=1)
    """Longer texts are taken out."""

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("sets no bound: give it min, max or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min ({self.min}) must not be above max ({self.max})")
        return self

    def hold(self, length: int) -> bool:
        return (self.min or 0) <= length and (self.max is None or length <= self.max)


class Length(JudgementFilter):
    """Takes out queries, and passages as answers, that are too short or too long.

    By default of the train split alone, so that the test stays what it was.
    """

    type: Literal["length"] = "length"
    unit: Unit = "characters"
    """What is counted. words: parts between white space, in Chinese and Japanese letters. tokens: the model's own,
    without its prompts and special tokens."""
    queries: Bounds | None = None
    """Lengths that a query may have, such as {min: 10, max: 300}."""
    documents: Bounds | None = None
    """Lengths that a passage, with its title, may have to be an answer."""
    drop_documents: bool = False
    """Whether passages of other lengths also leave the corpus, where no judgement names them any more. They then
    distract no search, which makes every test on this corpus easier."""

    def uses_model(self) -> bool:
        return self.unit == "tokens"

    def faults(self) -> Iterable[str]:
        if self.queries is None and self.documents is None:
            yield "removes nothing: give it bounds for 'queries', 'documents' or both"
        if self.drop_documents and self.documents is None:
            yield "drop_documents: needs bounds for 'documents'"

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        queries_by_id = {id_: query.text for id_, query in data.queries.items()}
        searched = {id_: document.full_text for id_, document in data.documents.items()}
        queries = self._outside(ctx, queries_by_id, self.queries)
        documents = self._outside(ctx, searched, self.documents)
        qrels = {split: data.qrels(split) for split in data.splits}
        taken: dict[str, int] = {}
        for split in (split for split in self.splits if split in qrels):
            for qrel in qrels[split]:
                if qrel.query_id in queries:
                    taken[queries_by_id[qrel.query_id]] = queries[qrel.query_id]
                elif qrel.document_id in documents:
                    taken[searched[qrel.document_id]] = documents[qrel.document_id]
            qrels[split] = [qrel for qrel in qrels[split] if _fits(qrel, queries, documents)]
        gone = set(_unneeded(data, qrels, documents)) if self.drop_documents else set()
        ctx.note("queries_outside", len(queries))
        ctx.note("documents_outside", len(documents))
        ctx.note("documents_removed", len(gone))
        left = FilterResult(
            qrels,
            [document for id_, document in data.documents.items() if id_ not in gone],
            [qrel for qrel in data.negatives() if qrel.document_id not in gone],
            [f"{length:,} {self.unit}: {shown(text)}" for text, length in taken.items()],
        )
        return self.publish(ctx, data, left, "widen the bounds of 'queries' or 'documents'")

    def _outside(self, ctx: Context, texts: Mapping[str, str], bounds: Bounds | None) -> dict[str, int]:
        """Return the lengths of the texts that are out of bounds, by id."""
        if bounds is None:
            return {}
        lengths = zip(texts, self._lengths(ctx, list(texts.values())), strict=True)
        return {id_: length for id_, length in lengths if not bounds.hold(length)}

    def _lengths(self, ctx: Context, texts: list[str]) -> Iterator[int]:
        if self.unit == "characters":
            yield from map(len, texts)
        elif self.unit == "words":
            yield from (len(words(text)) for text in texts)
        elif ctx.model:
            from embedrun_plugins.models.tokenizer import lengths, tokenizer_of

            yield from lengths(tokenizer_of(ctx.model), ctx.track(texts, "count tokens"))


def _fits(qrel: Judgement, queries: Mapping[str, int], documents: Mapping[str, int]) -> bool:
    return qrel.query_id not in queries and qrel.document_id not in documents


def _unneeded(
    data: RetrievalSet, qrels: Mapping[Split, list[Judgement]], documents: Mapping[str, int]
) -> Iterator[str]:
    needed = {qrel.document_id for judgements in qrels.values() for qrel in judgements}
    return (id_ for id_ in data.documents if id_ in documents and id_ not in needed)
