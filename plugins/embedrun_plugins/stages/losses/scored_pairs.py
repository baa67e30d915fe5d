"""Losses over pairs of texts with a score or a yes and no."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.errors import UserError
from embedrun.stages import Loss, Rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

Distance = Literal["cosine", "euclidean", "manhattan"]


class Cosent(Loss):
    """Pairs must be ordered by similarity as they are by score (CoSENT). Only the order of scores counts."""

    type: Literal["cosent"] = "cosent"
    rows: ClassVar[Rows] = "scored_pairs"
    scale: float = Field(20.0, gt=0)
    """Similarities are multiplied by this; it is 1 / temperature."""
    similarity_fct: Literal["cos_sim", "dot_score", "euclidean_sim", "manhattan_sim"] = "cos_sim"
    """How vectors are compared."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers import util
        from sentence_transformers.sentence_transformer.losses import CoSENTLoss

        return CoSENTLoss(model, scale=self.scale, similarity_fct=getattr(util, f"pairwise_{self.similarity_fct}"))


class Angle(Loss):
    """`cosent` with the angle in complex space for similarity, whose gradient does not vanish (AnglE)."""

    type: Literal["angle"] = "angle"
    rows: ClassVar[Rows] = "scored_pairs"
    scale: float = Field(20.0, gt=0)
    """Similarities are multiplied by this; it is 1 / temperature."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import AnglELoss

        return AnglELoss(model, scale=self.scale)


class CosineSimilarity(Loss):
    """The cosine of a pair must be its score, which lies between -1 and 1."""

    type: Literal["cosine_similarity"] = "cosine_similarity"
    rows: ClassVar[Rows] = "scored_pairs"
    score_range: ClassVar[tuple[float, float] | None] = (-1.0, 1.0)
    loss_fct: Literal["mse", "l1", "smooth_l1"] = "mse"
    """How the difference counts: squared, absolute, or squared where it is small."""
    cos_score_transformation: Literal["identity", "relu"] = "identity"
    """What is done with the cosine first; `relu` makes negative ones 0."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import CosineSimilarityLoss
        from torch import nn

        differences = {"mse": nn.MSELoss, "l1": nn.L1Loss, "smooth_l1": nn.SmoothL1Loss}
        transformations = {"identity": nn.Identity, "relu": nn.ReLU}
        return CosineSimilarityLoss(
            model,
            loss_fct=differences[self.loss_fct](),
            cos_score_transformation=transformations[self.cos_score_transformation](),
        )


class Contrastive(Loss):
    """Pairs that belong together (label 1) are drawn together, others (0) pushed apart up to a margin."""

    type: Literal["contrastive"] = "contrastive"
    rows: ClassVar[Rows] = "labelled_pairs"
    distance_metric: Distance = "cosine"
    """How distance is measured."""
    margin: float = Field(0.5, gt=0)
    """Pairs that do not belong together need to be this far apart, and no further."""
    size_average: bool = True
    """Whether the loss is the batch's mean instead of its sum."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import ContrastiveLoss

        metric = _metric(self.distance_metric)
        return ContrastiveLoss(model, distance_metric=metric, margin=self.margin, size_average=self.size_average)


class OnlineContrastive(Loss):
    """`contrastive` over a batch's hard pairs only; often better."""

    type: Literal["online_contrastive"] = "online_contrastive"
    rows: ClassVar[Rows] = "labelled_pairs"
    distance_metric: Distance = "cosine"
    """How distance is measured."""
    margin: float = Field(0.5, gt=0)
    """Pairs that do not belong together need to be this far apart, and no further."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import OnlineContrastiveLoss

        return OnlineContrastiveLoss(model, distance_metric=_metric(self.distance_metric), margin=self.margin)


class Softmax(Loss):
    """A classifier over both vectors tells pairs that belong together from others (Sentence-BERT's first loss).

    The classifier is trained along and thrown away.
    """

    type: Literal["softmax"] = "softmax"
    rows: ClassVar[Rows] = "labelled_pairs"
    concatenation_sent_rep: bool = True
    """Whether the classifier sees both vectors."""
    concatenation_sent_difference: bool = True
    """Whether it sees their absolute difference."""
    concatenation_sent_multiplication: bool = False
    """Whether it sees their product, element by element."""

    def faults(self) -> Iterable[str]:
        if not any(self._seen().values()):
            yield "the classifier sees nothing; at least one of the concatenation_… keys must be true"

    def _seen(self) -> dict[str, Any]:
        return self.model_dump(exclude={"type"})

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import SoftmaxLoss

        dimension = model.get_embedding_dimension()
        if dimension is None:
            raise UserError(f"loss: '{self.type}' needs a model that knows the length of its vectors")
        return SoftmaxLoss(model, embedding_dimension=dimension, num_labels=2, **self._seen())


def _metric(name: Distance) -> object:
    from sentence_transformers.sentence_transformer.losses import SiameseDistanceMetric

    attribute = "COSINE_DISTANCE" if name == "cosine" else name.upper()
    metric: object = getattr(SiameseDistanceMetric, attribute)
    return metric
