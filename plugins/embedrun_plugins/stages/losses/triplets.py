"""Losses over triplets: an answer must be closer to its query than a wrong passage is."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Loss, Rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


class Triplet(Loss):
    """The negative must be further from the query than the answer is, by a margin. Needs negatives."""

    type: Literal["triplet"] = "triplet"
    rows: ClassVar[Rows] = "triplets"
    distance_metric: Literal["cosine", "euclidean", "manhattan"] = "euclidean"
    """How distance is measured."""
    triplet_margin: float = Field(5.0, gt=0)
    """The margin. Vectors of length 1 are at most 2 apart, so a model that normalises wants 0.1 to 1."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric, TripletLoss

        metric = getattr(TripletDistanceMetric, self.distance_metric.upper())
        return TripletLoss(model, distance_metric=metric, triplet_margin=self.triplet_margin)


class Mined(Loss, ABC):
    """What the losses share that find triplets in a batch of labelled texts."""

    rows: ClassVar[Rows] = "labelled_texts"
    distance_metric: Literal["cosine", "euclidean"] = "euclidean"
    """How distance is measured."""

    def distance(self) -> Any:
        """Return sentence-transformers' function for the distances between all vectors of a batch."""
        from sentence_transformers.sentence_transformer.losses import BatchHardTripletLossDistanceFunction

        return getattr(BatchHardTripletLossDistanceFunction, f"{self.distance_metric}_distance")


class MinedByMargin(Mined, ABC):
    """What the mining losses share that have a margin."""

    margin: float = Field(5.0, gt=0)
    """How much further away the negative must be. A model that normalises wants 0.1 to 1."""


class BatchAllTriplet(MinedByMargin):
    """All triplets that a batch holds; a query and its answers are alike, everything else differs."""

    type: Literal["batch_all_triplet"] = "batch_all_triplet"

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import BatchAllTripletLoss

        return BatchAllTripletLoss(model, distance_metric=self.distance(), margin=self.margin)


class BatchHardTriplet(MinedByMargin):
    """The furthest text that is alike and the closest that differs, for each text of a batch."""

    type: Literal["batch_hard_triplet"] = "batch_hard_triplet"

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import BatchHardTripletLoss

        return BatchHardTripletLoss(model, distance_metric=self.distance(), margin=self.margin)


class BatchSemiHardTriplet(MinedByMargin):
    """Triplets of a batch whose negative is further away than the positive, but not by the margin."""

    type: Literal["batch_semi_hard_triplet"] = "batch_semi_hard_triplet"

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import BatchSemiHardTripletLoss

        return BatchSemiHardTripletLoss(model, distance_metric=self.distance(), margin=self.margin)


class BatchHardSoftMarginTriplet(Mined):
    """`batch_hard_triplet` with a soft margin, so that there is none to choose."""

    type: Literal["batch_hard_soft_margin_triplet"] = "batch_hard_soft_margin_triplet"

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import BatchHardSoftMarginTripletLoss

        return BatchHardSoftMarginTripletLoss(model, distance_metric=self.distance())
