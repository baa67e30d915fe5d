"""Losses over a query and one passage, or an answer and its negatives."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Rows
from embedrun_plugins.stages.reranker_losses.library import Activation, CrossEncoderLoss


class BinaryCrossEntropy(CrossEncoderLoss):
    """Each pair by itself: is the passage an answer? The usual choice, with several hard negatives for each query."""

    type: Literal["binary_cross_entropy"] = "binary_cross_entropy"
    library_class: ClassVar[str] = "BinaryCrossEntropyLoss"
    rows: ClassVar[Rows] = "judged_pairs"
    pos_weight: float | None = Field(None, gt=0)
    """How much an answer counts; about as much as there are negatives for each of them balances the two."""

    def arguments(self) -> dict[str, Any]:
        import torch

        weight = None if self.pos_weight is None else torch.tensor(self.pos_weight)
        return super().arguments() | {"pos_weight": weight}


class MeanSquaredError(CrossEncoderLoss):
    """The score must be the teacher's (mean squared error). Needs the scores of a teacher."""

    type: Literal["mse"] = "mse"
    library_class: ClassVar[str] = "MSELoss"
    rows: ClassVar[Rows] = "taught_pairs"


class MarginMeanSquaredError(CrossEncoderLoss):
    """The lead of an answer over each negative must be as large as the teacher's. Needs the scores of a teacher."""

    type: Literal["margin_mse"] = "margin_mse"
    library_class: ClassVar[str] = "MarginMSELoss"
    rows: ClassVar[Rows] = "distillation"


class AnswerRanking(CrossEncoderLoss):
    """Cross-entropy of picking each query's answer among its negatives and passages of the batch's other queries."""

    type: Literal["multiple_negatives_ranking"] = "multiple_negatives_ranking"
    library_class: ClassVar[str] = "MultipleNegativesRankingLoss"
    rows: ClassVar[Rows] = "pairs"
    activation_fn: Activation = "sigmoid"
    """What is applied to the model's scores before the loss compares them."""
    num_negatives: int | None = Field(4, ge=1)
    """Passages of other queries drawn for each row of a batch, beside its own negatives; null takes all of them."""
    scale: float = Field(10.0, gt=0)
    """Scores are multiplied by this before the softmax."""


class CachedAnswerRanking(AnswerRanking):
    """`multiple_negatives_ranking` with memory for a mini-batch only, at about 1.2 to 2 times the time (GradCache)."""

    type: Literal["cached_multiple_negatives_ranking"] = "cached_multiple_negatives_ranking"  # type: ignore[assignment]
    library_class: ClassVar[str] = "CachedMultipleNegativesRankingLoss"
    mini_batch_size: int = Field(32, ge=1)
    """Pairs scored at a time: as many as fit into memory. Does not change what is learned, only dropout's draws."""
