"""A training step without padding, where model and loss allow it, and why not where they don't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from sentence_transformers.base.losses import uses_gradient_cache
from sentence_transformers.sentence_transformer import losses
from sentence_transformers.sentence_transformer.modules import Pooling

from embedrun_plugins.models.padding_free import forward
from embedrun_plugins.stages.losses.sum_loss import Sum

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor, nn

# fmt: off
SEES_VECTORS_ONLY: tuple[type[nn.Module], ...] = (
    Sum, losses.AnglELoss, losses.BatchAllTripletLoss, losses.BatchHardSoftMarginTripletLoss,
    losses.BatchHardTripletLoss, losses.BatchSemiHardTripletLoss, losses.CachedGISTEmbedLoss,
    losses.CachedMultipleNegativesRankingLoss, losses.ContrastiveLoss, losses.CoSENTLoss, losses.CosineSimilarityLoss,
    losses.DistillKLDivLoss, losses.GISTEmbedLoss, losses.GlobalOrthogonalRegularizationLoss, losses.MarginMSELoss,
    losses.MatryoshkaLoss, losses.MegaBatchMarginLoss, losses.MultipleNegativesRankingLoss,
    losses.OnlineContrastiveLoss, losses.SoftmaxLoss, losses.TripletLoss,
)
# fmt: on
"""Losses for which it makes no difference how the vectors were made; others may look at tokens or layers."""


@dataclass(frozen=True)
class PaddingFreeStep:
    """How batches are embedded without padding."""

    strategy: forward.Strategy
    joins_columns: bool
    """Whether all columns of a batch are embedded together, before the loss; cached losses do it bit by bit."""
    prompts_count: bool
    """Whether vectors leave the prompt's tokens out."""

    def embed(self, model: Any, columns: Mapping[str, forward.Features]) -> dict[str, Tensor]:
        """Return each column's vectors by the names that the loss's features have for them; empty if not to be had.

        `model` is called once, so that a model that several processes train sees one forward and one backward pass.
        """
        parts = [column if self.prompts_count else _without_prompt(column) for column in columns.values()]
        batch = forward.concatenate(parts) if self.joins_columns else None
        if batch is None:
            return {}
        vectors: Tensor = model(batch)["sentence_embedding"]
        sizes = [len(column["input_ids"]) for column in parts]
        names = [f"{prefix}{forward.EMBEDDED}" for prefix in columns]
        return dict(zip(names, torch.split(vectors, sizes), strict=True))


def choose(model: SentenceTransformer, loss: nn.Module, *, compiled: bool) -> PaddingFreeStep | str:
    """Return how batches are embedded without padding, or why they cannot be."""
    if compiled:
        return "the model is compiled"
    unknown = _unknown(loss)
    if unknown is not None:
        return f"{unknown} may use more than the vectors"
    strategy = forward.strategy(model)
    if strategy is None:
        return "the model's input is not plain tokens, or is padded on the left"
    prompts_count = any(isinstance(module, Pooling) and not module.include_prompt for module in model.modules())
    caching = any(uses_gradient_cache(module) for module in loss.modules() if module is not model)
    return PaddingFreeStep(strategy, joins_columns=not caching, prompts_count=prompts_count)


def _unknown(loss: nn.Module) -> str | None:
    """Return the name of the first loss, among this one and those inside it, that is not known to see vectors only."""
    if type(loss) not in SEES_VECTORS_ONLY:
        return type(loss).__name__
    within = [getattr(loss, name, None) for name in ("loss", "penalty")]
    return next((name for inner in within if isinstance(inner, torch.nn.Module) and (name := _unknown(inner))), None)


def _without_prompt(features: forward.Features) -> forward.Features:
    return {name: value for name, value in features.items() if name != "prompt_length"}
