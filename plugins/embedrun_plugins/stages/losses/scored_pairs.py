"""Losses over pairs of texts with a score or a yes and no."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.errors import UserError
from embedrun.stages import Rows
from embedrun_plugins.stages.losses.library import LibraryLoss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Cosent(LibraryLoss):
    """Pairs must be ordered by similarity as they are by score (CoSENT). Only the order of scores counts."""

    type: Literal["cosent"] = "cosent"
    library_class: ClassVar[str] = "CoSENTLoss"
    similarity_prefix: ClassVar[str] = "pairwise_"
    rows: ClassVar[Rows] = "scored_pairs"
    scale: float = Field(20.0, gt=0)
    """Similarities are multiplied by this; it is 1 / temperature."""
    similarity_fct: Literal["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"] = "cos_sim"
    """How vectors are compared."""


class Angle(LibraryLoss):
    """`cosent` with the angle in complex space for similarity, whose gradient does not vanish (AnglE)."""

    type: Literal["angle"] = "angle"
    library_class: ClassVar[str] = "AnglELoss"
    rows: ClassVar[Rows] = "scored_pairs"
    scale: float = Field(20.0, gt=0)
    """Similarities are multiplied by this; it is 1 / temperature."""


class CosineSimilarity(LibraryLoss):
    """The cosine of a pair must be its score, which lies between -1 and 1."""

    type: Literal["cosine_similarity"] = "cosine_similarity"
    library_class: ClassVar[str] = "CosineSimilarityLoss"
    rows: ClassVar[Rows] = "scored_pairs"
    score_range: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    loss_fct: Literal["mse", "l1", "smooth_l1"] = "mse"
    """How the difference counts: squared, absolute, or squared where it is small."""
    cos_score_transformation: Literal["identity", "relu"] = "identity"
    """What is done with the cosine first; `relu` makes negative ones 0."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:  # noqa: ARG002 - as the base has it
        from torch import nn

        differences = {"mse": nn.MSELoss, "l1": nn.L1Loss, "smooth_l1": nn.SmoothL1Loss}
        transformations = {"identity": nn.Identity, "relu": nn.ReLU}
        transformation = transformations[self.cos_score_transformation]()
        return {"loss_fct": differences[self.loss_fct](), "cos_score_transformation": transformation}


class LabelledPairs(LibraryLoss, ABC):
    """What the contrastive losses share."""

    rows: ClassVar[Rows] = "labelled_pairs"
    distance_metric: Literal["cosine", "euclidean", "manhattan"] = "cosine"
    """How distance is measured."""
    margin: float = Field(0.5, gt=0)
    """Pairs that do not belong together need to be this far apart, and no further."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        from sentence_transformers.sentence_transformer.losses import SiameseDistanceMetric

        name = "COSINE_DISTANCE" if self.distance_metric == "cosine" else self.distance_metric.upper()
        return super().arguments(model) | {"distance_metric": getattr(SiameseDistanceMetric, name)}


class Contrastive(LabelledPairs):
    """Pairs that belong together (label 1) are drawn together, others (0) pushed apart up to a margin."""

    type: Literal["contrastive"] = "contrastive"
    library_class: ClassVar[str] = "ContrastiveLoss"
    size_average: bool = True
    """Whether the loss is the batch's mean instead of its sum."""


class OnlineContrastive(LabelledPairs):
    """`contrastive` over a batch's hard pairs only; often better."""

    type: Literal["online_contrastive"] = "online_contrastive"
    library_class: ClassVar[str] = "OnlineContrastiveLoss"


class Softmax(LibraryLoss):
    """A classifier over both vectors tells pairs that belong together from others (Sentence-BERT's first loss).

    The classifier is trained along and thrown away.
    """

    type: Literal["softmax"] = "softmax"
    library_class: ClassVar[str] = "SoftmaxLoss"
    rows: ClassVar[Rows] = "labelled_pairs"
    concatenation_sent_rep: bool = True
    """Whether the classifier sees both vectors."""
    concatenation_sent_difference: bool = True
    """Whether it sees their absolute difference."""
    concatenation_sent_multiplication: bool = False
    """Whether it sees their product, element by element."""

    def faults(self) -> Iterable[str]:
        if not any(self.model_dump(exclude={"type"}).values()):
            yield "the classifier sees nothing; at least one of the concatenation_… keys must be true"

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise UserError(f"loss: '{self.type}' needs a model that knows the length of its vectors")
        return super().arguments(model) | {"embedding_dimension": dimension, "num_labels": 2}
