"""A regulariser that spreads vectors over the space, added to another loss."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from embedrun.errors import UserError
from embedrun_plugins.stages.losses.cached import MiniBatches
from embedrun_plugins.stages.losses.gist import Guided
from embedrun_plugins.stages.losses.matryoshka import Nested, Wrapping
from embedrun_plugins.stages.losses.ranking import MegaBatchMargin
from embedrun_plugins.stages.losses.scored_pairs import Softmax

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

_WITHOUT_VECTORS = (MiniBatches, Guided, MegaBatchMargin, Softmax, Nested)


class GlobalOrthogonalRegularization(Wrapping):
    """The inner loss plus a penalty on texts of one column being similar to each other (Zhang et al. 2017).

    Spread-out vectors lose less when they are quantised. EmbeddingGemma uses `mean_weight` 0 and `aggregation` sum.
    """

    type: Literal["global_orthogonal_regularization"] = "global_orthogonal_regularization"
    similarity_fct: Literal["cos_sim", "dot_score"] = "cos_sim"
    """How vectors are compared."""
    mean_weight: float = Field(1.0, ge=0)
    """How much it counts that the mean similarity is not 0."""
    second_moment_weight: float = Field(1.0, ge=0)
    """How much it counts that similarities vary more than on a sphere filled evenly."""
    aggregation: Literal["mean", "sum"] = "mean"
    """How the columns' penalties are put together."""

    def faults(self) -> Iterable[str]:
        if isinstance(self.inner, _WITHOUT_VECTORS):
            yield f"inner: '{self.inner.type}' does not share its vectors, which this needs; use a plain loss"
        if not self.mean_weight and not self.second_moment_weight:
            yield "mean_weight and second_moment_weight are both 0, so there is no penalty"

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers import util
        from sentence_transformers.sentence_transformer.losses import GlobalOrthogonalRegularizationLoss

        from embedrun_plugins.stages.losses.sum_loss import Sum

        inner = self.inner.build(model)
        if not hasattr(inner, "compute_loss_from_embeddings"):
            raise UserError(f"loss.inner: '{self.inner.type}' does not share its vectors, which '{self.type}' needs")
        penalty = GlobalOrthogonalRegularizationLoss(
            model,
            similarity_fct=getattr(util, self.similarity_fct),
            mean_weight=self.mean_weight,
            second_moment_weight=self.second_moment_weight,
            aggregation=self.aggregation,
        )
        return Sum(model, inner, penalty)
