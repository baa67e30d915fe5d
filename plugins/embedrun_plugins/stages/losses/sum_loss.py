"""A loss and a penalty over the same vectors, embedded once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.losses.merged_forward import embed_columns
from torch import Tensor, nn


class Sum(nn.Module):
    """Adds a penalty's terms to a loss; both must take vectors (`compute_loss_from_embeddings`)."""

    def __init__(self, model: SentenceTransformer, loss: nn.Module, penalty: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss: Any = loss
        self.penalty: Any = penalty

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Tensor | None) -> Tensor:
        """Return the sum for one batch; features are one mapping for each column."""
        vectors = embed_columns(self.model, sentence_features)
        total: Tensor = self.loss.compute_loss_from_embeddings(vectors, labels)
        for term in self.penalty.compute_loss_from_embeddings(vectors).values():
            total = total + term
        return total
