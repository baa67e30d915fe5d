"""The miner `dense`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun_plugins.stages.miners.base_miner import BaseMiner
from embedrun_plugins.stages.miners.scorers import Margins

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.ranking import Candidates


class Dense(BaseMiner, Margins):
    """Negatives that the model itself ranks high: passages of a range of ranks in its search for each query.

    The method of FlagEmbedding's hn_mine.py (Xiao et al., C-Pack, 2023), with limits relative to the answer's
    similarity as in NV-Retriever. Prompts, pooling and similarity are the model's own. A negative's score is its
    similarity; with `index: exact` the candidates are the same as those of FAISS's IndexFlatIP.
    """

    type: Literal["dense"] = "dense"
    min_score: float | None = None
    """A passage that is less similar than this is no negative: it would teach nothing."""
    index: Literal["exact", "faiss"] = "exact"
    """exact: every query is compared with every passage, in blocks. faiss: with the passages of the nearest cells of
    an inverted file (IndexIVFFlat), for corpora of millions; some candidates are missed, and how many is noted."""
    probes: int = Field(32, ge=1)
    """Cells looked into for each query, with `index: faiss`: more find more, and take longer."""

    def needs(self) -> Mapping[str, str]:
        return {"faiss": "mining"} if self.index == "faiss" else {}

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.min_score is not None and self.max_score is not None and self.min_score > self.max_score:
            yield f"min_score: {self.min_score:g} is above max_score, so nothing is left"
        if self.index == "exact" and self.probes != type(self).model_fields["probes"].default:
            yield "probes: is for index: faiss only"

    def candidates(self, ctx: Context, pool: Pool, model: Model) -> Iterator[Candidates]:
        from embedrun_plugins.stages.miners.dense_index import PoolVectors, search
        from embedrun_plugins.stages.miners.ranking import ranked

        vectors = PoolVectors.of(ctx, pool, model, self.batch_size)
        index = search(ctx, vectors, cells=self.probes if self.index == "faiss" else None, highest=self.range[1])
        for block in ranked(index, vectors.queries, self.range, partial(ctx.progress, "search")):
            yield vectors.limited(block, self.too_near, self.min_score)
