"""Losses over triplets: an answer must be closer to its query than a wrong passage is."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Rows
from embedrun_plugins.stages.losses.library import LibraryLoss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Triplet(LibraryLoss):
    """The negative must be further from the query than the answer is, by a margin. Needs negatives."""

    type: Literal["triplet"] = "triplet"
    library_class: ClassVar[str] = "TripletLoss"
    rows: ClassVar[Rows] = "triplets"
    distance_metric: Literal["cosine", "euclidean", "manhattan"] = "euclidean"
    """How distance is measured."""
    triplet_margin: float = Field(5.0, gt=0)
    """The margin. Vectors of length 1 are at most 2 apart, so a model that normalises wants 0.1 to 1."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        from sentence_transformers.sentence_transformer.losses import TripletDistanceMetric

        metric = getattr(TripletDistanceMetric, self.distance_metric.upper())
        return super().arguments(model) | {"distance_metric": metric}


class Mined(LibraryLoss, ABC):
    """What the losses share that find triplets in a batch of labelled texts."""

    rows: ClassVar[Rows] = "labelled_texts"
    distance_metric: Literal["cosine", "euclidean"] = "euclidean"
    """How distance is measured."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        from sentence_transformers.sentence_transformer.losses import BatchHardTripletLossDistanceFunction

        metric = getattr(BatchHardTripletLossDistanceFunction, f"{self.distance_metric}_distance")
        return super().arguments(model) | {"distance_metric": metric}


class MinedByMargin(Mined, ABC):
    """What the mining losses share that have a margin."""

    margin: float = Field(5.0, gt=0)
    """How much further away the negative must be. A model that normalises wants 0.1 to 1."""


class BatchAllTriplet(MinedByMargin):
    """All triplets that a batch holds; a query and its answers are alike, everything else differs."""

    type: Literal["batch_all_triplet"] = "batch_all_triplet"
    library_class: ClassVar[str] = "BatchAllTripletLoss"


class BatchHardTriplet(MinedByMargin):
    """The furthest text that is alike and the closest that differs, for each text of a batch."""

    type: Literal["batch_hard_triplet"] = "batch_hard_triplet"
    library_class: ClassVar[str] = "BatchHardTripletLoss"


class BatchSemiHardTriplet(MinedByMargin):
    """Triplets of a batch whose negative is further away than the positive, but not by the margin."""

    type: Literal["batch_semi_hard_triplet"] = "batch_semi_hard_triplet"
    library_class: ClassVar[str] = "BatchSemiHardTripletLoss"


class BatchHardSoftMarginTriplet(Mined):
    """`batch_hard_triplet` with a soft margin, so that there is none to choose."""

    type: Literal["batch_hard_soft_margin_triplet"] = "batch_hard_soft_margin_triplet"
    library_class: ClassVar[str] = "BatchHardSoftMarginTripletLoss"
