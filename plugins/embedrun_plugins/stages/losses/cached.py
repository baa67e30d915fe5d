"""Ranking losses whose memory is bounded by a mini-batch, so that the batch can be as large as is useful.

All of them work by GradCache (Gao et al. 2021, arXiv:2101.06983): the batch is embedded twice, without and with
gradients, a few texts at a time.
"""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Loss
from embedrun_plugins.stages.losses.ranking import BOTH_WAYS, Directed, InBatchNegatives

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class MiniBatches(Loss, ABC):
    """How a cached loss splits a batch; the loss itself is the same for any split."""

    mini_batch_size: int = Field(32, ge=1)
    """Texts embedded at a time: as many as fit into memory. Does not change what is learned, only dropout's draws."""
    mini_batch_num_tokens: int | None = Field(None, ge=1)
    """Tokens embedded at a time, in place of `mini_batch_size`; faster where lengths differ much."""


class CachedMultipleNegativesRanking(Directed, MiniBatches):
    """`multiple_negatives_ranking` with memory for a mini-batch only, at about 1.2 to 2 times the time."""

    type: Literal["cached_multiple_negatives_ranking"] = "cached_multiple_negatives_ranking"
    library_class: ClassVar[str] = "CachedMultipleNegativesRankingLoss"


class CachedMultipleNegativesSymmetricRanking(InBatchNegatives, MiniBatches):
    """`multiple_negatives_symmetric_ranking` with memory for a mini-batch only."""

    type: Literal["cached_multiple_negatives_symmetric_ranking"] = "cached_multiple_negatives_symmetric_ranking"
    library_class: ClassVar[str] = "CachedMultipleNegativesRankingLoss"

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        return {**super().arguments(model), **BOTH_WAYS}
