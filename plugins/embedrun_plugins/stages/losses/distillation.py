"""Losses that learn a teacher's scores."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from embedrun.stages import Rows
from embedrun_plugins.stages.losses.library import LibraryLoss

Similarity = Literal["dot_score", "cos_sim", "euclidean_sim", "manhattan_sim"]


class MarginMse(LibraryLoss):
    """The lead of an answer over each negative must be as large as the teacher's (mean squared error)."""

    type: Literal["margin_mse"] = "margin_mse"
    library_class: ClassVar[str] = "MarginMSELoss"
    rows: ClassVar[Rows] = "distillation"
    similarity_prefix: ClassVar[str] = "pairwise_"
    similarity_fct: Similarity = "dot_score"
    """How the model compares; must be on the teacher's scale."""


class DistillKlDiv(LibraryLoss):
    """The model must spread its scores over an answer and its negatives as the teacher does (KL divergence)."""

    type: Literal["distill_kl_div"] = "distill_kl_div"
    library_class: ClassVar[str] = "DistillKLDivLoss"
    rows: ClassVar[Rows] = "distillation"
    similarity_prefix: ClassVar[str] = "pairwise_"
    similarity_fct: Similarity = "dot_score"
    """How the model compares."""
    temperature: float = Field(1.0, gt=0)
    """Both sides' scores are divided by this before the softmax; higher is softer."""
    student_temperature: float | None = Field(None, gt=0)
    """The model's own temperature; by default `temperature`."""
    teacher_temperature: float | None = Field(None, gt=0)
    """The teacher's own temperature; by default `temperature`. Match it to the spread of the teacher's scores."""
