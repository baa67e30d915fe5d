"""Losses that learn a teacher's scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.stages import Loss, Rows

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

Similarity = Literal["dot_score", "cos_sim", "euclidean_sim", "manhattan_sim"]


class MarginMse(Loss):
    """The lead of an answer over each negative must be as large as the teacher's (mean squared error)."""

    type: Literal["margin_mse"] = "margin_mse"
    rows: ClassVar[Rows] = "distillation"
    similarity_fct: Similarity = "dot_score"
    """How the model compares; must be on the teacher's scale."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import MarginMSELoss

        return MarginMSELoss(model, similarity_fct=_pairwise(self.similarity_fct))


class DistillKlDiv(Loss):
    """The model must spread its scores over an answer and its negatives as the teacher does (KL divergence)."""

    type: Literal["distill_kl_div"] = "distill_kl_div"
    rows: ClassVar[Rows] = "distillation"
    similarity_fct: Similarity = "dot_score"
    """How the model compares."""
    temperature: float = Field(1.0, gt=0)
    """Both sides' scores are divided by this before the softmax; higher is softer."""
    student_temperature: float | None = Field(None, gt=0)
    """The model's own temperature; by default `temperature`."""
    teacher_temperature: float | None = Field(None, gt=0)
    """The teacher's own temperature; by default `temperature`. Match it to the spread of the teacher's scores."""

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss

        temperatures = self.model_dump(include={"temperature", "student_temperature", "teacher_temperature"})
        return DistillKLDivLoss(model, similarity_fct=_pairwise(self.similarity_fct), **temperatures)


def _pairwise(name: Similarity) -> Any:
    from sentence_transformers import util

    return getattr(util, f"pairwise_{name}")
