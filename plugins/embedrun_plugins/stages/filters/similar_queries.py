"""Questions that ask nearly the same as another, by their vectors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from embedrun.artifacts import SPLITS, Model, RetrievalSet, Split
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import PluginError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Filter
from embedrun_plugins.stages.filters.base_filter import FilterResult, JudgementFilter, shown
from embedrun_plugins.stages.named_models import ModelName, commit_of, files_of, folder_of, missing_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

_ROWS = 512
"""Queries that are compared at once with all before them."""
_ROUNDING = 1e-6
"""Of a cosine in float32: equal vectors may have one just below 1."""


class SimilarQueries(JudgementFilter):
    """Takes out queries whose vectors nearly equal another's, so that one question in many words is asked once.

    Of a group the one that stays is that of the last split, test before dev before train, and within a split the first:
    nothing that is tested goes because of what is trained on, and no query of train nearly asks what dev or test ask. A
    query goes if it is similar to one that stays, not to one that went. To unite the judgements of twins use
    `duplicates`, whose threshold should be higher.
    """

    type: Literal["similar_queries"] = "similar_queries"
    threshold: float = Field(0.9, gt=0, le=1)
    """Cosine from which two queries ask the same."""
    model: ModelName | None = None
    """Folder or hub id of the model whose vectors are compared; by default the one that the recipe starts from."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; a run fixes it to a commit."""
    splits: tuple[Split, ...] = Field(SPLITS, min_length=1)
    """Splits that queries are taken out of."""
    across: bool = True
    """Whether a query also goes because of a later split: of train because of dev and test, of dev because of test."""
    same_numbers: bool = True
    """Whether queries with different digits never ask the same: last year's figures are not this year's."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Queries encoded at once."""

    def uses_model(self) -> bool:
        return self.model is None

    def inputs(self) -> Iterable[Path]:
        return files_of(self.model) if self.model else ()

    def faults(self) -> Iterable[str]:
        if self.model and (missing := missing_folder(self.model)):
            yield f"model: {missing}"
        if self.revision and (self.model is None or files_of(self.model)):
            yield "revision: belongs to a model of the hub that 'model' names"

    def resolve(self, resolver: Resolver) -> SimilarQueries:
        if self.model is None:
            return self
        return self.model_copy(update={"revision": commit_of(self.model, self.revision, offline=resolver.offline)})

    def fetch(self, resolver: Resolver) -> None:
        if self.model:
            folder_of(self.model, self.revision, offline=resolver.offline)

    def rehearsal(self, rehearsal: Rehearsal) -> Filter:
        if self.model is None:
            return super().rehearsal(rehearsal)
        from embedrun_plugins.stages.rehearsal.lenient import lenient_filter
        from embedrun_plugins.stages.rehearsal.stand_in_models import small_or_random

        return lenient_filter(small_or_random(self, rehearsal, "model", "revision"))

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        queries = _in_order(data)
        near = self._near(ctx, [data.queries[id_].text for _, id_ in queries])
        gone: dict[int, int] = {}
        for index, (split, _) in enumerate(queries):
            firsts = (other for other in near.get(index, ()) if other not in gone)
            same = (other for other in firsts if self.across or queries[other][0] == split)
            if split in self.splits and (first := next(same, None)) is not None:
                gone[index] = first
        removed = {queries[index] for index in gone}
        for split in data.splits:
            later = sum(queries[index][0] == split != queries[first][0] for index, first in gone.items())
            ctx.note(f"{split}_similar_to_a_later_split", later)
        qrels = {
            split: [line for line in data.qrels(split) if (split, line.query_id) not in removed]
            for split in data.splits
        }
        texts = [
            (data.queries[queries[first][1]].text, data.queries[queries[index][1]].text)
            for index, first in gone.items()
        ]
        examples: list[object] = [[shown(kept), shown(taken)] for kept, taken in texts]
        left = FilterResult(qrels, data.documents.values(), data.negatives(), examples)
        return self.publish(ctx, data, left, f"raise threshold, which is {self.threshold:g}")

    def _near(self, ctx: Context, texts: Sequence[str]) -> Mapping[int, Sequence[int]]:
        """Return for each query the indices of earlier ones whose vectors are near, in their order."""
        import torch

        from embedrun_plugins.models.encode import embed
        from embedrun_plugins.stages.texts.near_duplicates import digits

        vectors = embed(self._loaded(ctx), texts, "query", self.batch_size, partial(ctx.progress, "encode queries"))
        directions = torch.nn.functional.normalize(vectors, dim=1)
        numbers = [digits(text) if self.same_numbers else "" for text in texts]
        near: dict[int, list[int]] = {}
        for index, other in ctx.track(_pairs(directions, self.threshold), "compare queries"):
            if numbers[index] == numbers[other]:
                near.setdefault(index, []).append(other)
        return near

    def _loaded(self, ctx: Context) -> SentenceTransformer:
        if self.model:
            return Model(folder_of(self.model, self.revision, offline=ctx.offline)).load(ctx.device)
        if ctx.model is None:
            raise PluginError("similar_queries: the engine gives it no model")
        return ctx.model.load(ctx.device)


def _in_order(data: RetrievalSet) -> list[tuple[Split, str]]:
    """Return the split and id of each query, those of the last split first."""
    return [
        (split, id_)
        for split in reversed(SPLITS)
        for id_ in dict.fromkeys(line.query_id for line in data.qrels(split))
        if id_ in data.queries
    ]


def _pairs(directions: Tensor, threshold: float) -> Iterator[tuple[int, int]]:
    """Yield the indices of each pair of near vectors, the later one first, by the later and then the earlier."""
    for start in range(0, len(directions), _ROWS):
        cosines = directions[start : start + _ROWS] @ directions[: start + _ROWS].T
        for row, column in (cosines >= threshold - _ROUNDING).nonzero().tolist():
            if column < start + row:
                yield start + row, column
