"""Losses over the order of a query's passages: its answers and its negatives."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Rows
from embedrun_plugins.stages.reranker_losses.library import CrossEncoderLoss


class ListLoss(CrossEncoderLoss, ABC):
    """A loss over all passages of a query at once; a row of a batch is a query with all of them."""

    rows: ClassVar[Rows] = "lists"
    mini_batch_size: int | None = Field(None, ge=1)
    """Pairs scored at a time; by default as many as a batch has queries."""


class OrderedPairsLoss(ListLoss, ABC):
    """A list loss that compares passages two by two."""

    k: int | None = Field(None, ge=1)
    """Only the first so many passages count; by default all."""
    sigma: float = Field(1.0, gt=0)
    """How steeply a difference of scores counts."""
    eps: float = Field(1e-10, gt=0)
    """Keeps logarithms finite."""
    reduction_log: Literal["natural", "binary"] = "binary"
    """Base of the logarithm."""


class Lambda(OrderedPairsLoss):
    """Pairs of passages, each weighted by what their order is worth to nDCG (LambdaLoss, Wang et al. 2018)."""

    type: Literal["lambda"] = "lambda"
    library_class: ClassVar[str] = "LambdaLoss"
    weighting_scheme: Literal["ndcg_loss2pp", "ndcg_loss2", "ndcg_loss1", "lambda_rank", "none"] = "ndcg_loss2pp"
    """How pairs are weighted; `ndcg_loss2pp` does best in the paper."""
    mu: float = Field(10.0, gt=0)
    """Weight of nDCG-Loss2 beside LambdaRank, for `ndcg_loss2pp`."""

    def faults(self) -> Iterable[str]:
        if self.mu != type(self).model_fields["mu"].default and self.weighting_scheme != "ndcg_loss2pp":
            yield "mu: is for weighting_scheme: ndcg_loss2pp only"

    def arguments(self) -> dict[str, Any]:
        from sentence_transformers.cross_encoder import losses

        values = super().arguments()
        mu = values.pop("mu")
        schemes = {
            "ndcg_loss2": losses.NDCGLoss2Scheme,
            "ndcg_loss1": losses.NDCGLoss1Scheme,
            "lambda_rank": losses.LambdaRankScheme,
            "none": losses.NoWeightingScheme,
        }
        make: Any = schemes.get(self.weighting_scheme)
        return values | {"weighting_scheme": make() if make else losses.NDCGLoss2PPScheme(mu=mu)}


class RankNet(OrderedPairsLoss):
    """Pairs of passages, each of which must be in the right order (Burges et al. 2005)."""

    type: Literal["rank_net"] = "rank_net"
    library_class: ClassVar[str] = "RankNetLoss"


class ListNet(ListLoss):
    """The scores' softmax must be the labels' (Cao et al. 2007)."""

    type: Literal["list_net"] = "list_net"
    library_class: ClassVar[str] = "ListNetLoss"


class PositionAwareListMle(ListLoss):
    """The likelihood of the right order, its first ranks weighing more (p-ListMLE, Lan et al. 2014)."""

    type: Literal["p_list_mle"] = "p_list_mle"
    library_class: ClassVar[str] = "PListMLELoss"


class ListMle(ListLoss):
    """The likelihood of the right order (Xia et al. 2008). Answers come first, negatives in the miner's order."""

    type: Literal["list_mle"] = "list_mle"
    library_class: ClassVar[str] = "ListMLELoss"


class ApproximateRankMse(ListLoss):
    """Squared difference between each passage's rank and the one that it should have (ADR-MSE, Rank-DistiLLM)."""

    type: Literal["adr_mse"] = "adr_mse"
    library_class: ClassVar[str] = "ADRMSELoss"
    alpha: float = Field(1.0, gt=0)
    """How steeply a difference of scores counts."""
