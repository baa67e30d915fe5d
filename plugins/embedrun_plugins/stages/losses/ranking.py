"""Losses that rank each query's answer above the other passages of the batch."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun_plugins.stages.losses.library import LibraryLoss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Direction = Literal["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]
BOTH_WAYS: Mapping[str, Any] = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"}
"""The symmetric losses; sentence-transformers is giving up classes of their own for them."""


class InBatchNegatives(LibraryLoss, ABC):
    """What the losses share that take the batch's other passages for negatives."""

    scale: float = Field(20.0, gt=0)
    """Similarities are multiplied by this before the softmax; it is 1 / temperature."""
    similarity_fct: Literal["cos_sim", "dot_score"] = "cos_sim"
    """How vectors are compared; with `dot_score`, a scale of 1 is usual."""
    gather_across_devices: bool = False
    """Whether the batches of all processes are compared with each other, when several train together."""


class Directed(InBatchNegatives, ABC):
    """What multiple negatives ranking offers beyond the plain loss, cached or not."""

    directions: tuple[Direction, ...] = ("query_to_doc",)
    """What is compared: queries with documents (always needed), and also queries with queries, documents with queries
    or documents with documents."""
    partition_mode: Literal["joint", "per_direction"] = "joint"
    """One softmax over all directions, or one for each and their mean."""
    hardness_mode: Literal["in_batch_negatives", "hard_negatives", "all_negatives"] | None = None
    """Which negatives weigh more the more similar they are; by default none do."""
    hardness_strength: float = Field(0.0, ge=0)
    """How much more they weigh; papers use 9 for `in_batch_negatives` and 5 for `hard_negatives`."""

    def faults(self) -> Iterable[str]:
        if "query_to_doc" not in self.directions:
            yield "directions: must contain 'query_to_doc', which holds the pairs to learn"
        ill_defined = sorted({"query_to_query", "doc_to_doc"} & set(self.directions))
        if self.partition_mode == "per_direction" and ill_defined:
            yield f"partition_mode: per_direction does not work with '{ill_defined[0]}', which holds no pair; use joint"
        if self.hardness_mode and not self.hardness_strength:
            yield "hardness_mode: has no effect while hardness_strength is 0"
        if self.hardness_strength and not self.hardness_mode:
            yield "hardness_strength: has no effect without hardness_mode"


class MultipleNegativesRanking(Directed):
    """Cross-entropy of picking each query's answer among all passages of the batch (MNRL, InfoNCE).

    The larger the batch, the more negatives. Also uses the set's negatives.
    """

    type: Literal["multiple_negatives_ranking"] = "multiple_negatives_ranking"
    library_class: ClassVar[str] = "MultipleNegativesRankingLoss"


class MultipleNegativesSymmetricRanking(InBatchNegatives):
    """As `multiple_negatives_ranking`, and also picking each passage's query among all queries of the batch."""

    type: Literal["multiple_negatives_symmetric_ranking"] = "multiple_negatives_symmetric_ranking"
    library_class: ClassVar[str] = "MultipleNegativesRankingLoss"

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        return {**super().arguments(model), **BOTH_WAYS}


class InfoNce(LibraryLoss):
    """`multiple_negatives_ranking` by its other name, with a temperature in place of a scale."""

    type: Literal["info_nce"] = "info_nce"
    library_class: ClassVar[str] = "MultipleNegativesRankingLoss"
    temperature: float = Field(0.05, gt=0)
    """Similarities are divided by this before the softmax; 0.01 to 0.1 are usual, lower is sharper."""
    similarity_fct: Literal["cos_sim", "dot_score"] = "cos_sim"
    """How vectors are compared; with `dot_score`, a temperature of 1 is usual."""
    gather_across_devices: bool = False
    """Whether the batches of all processes are compared with each other, when several train together."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        values = super().arguments(model)
        return {"scale": 1 / values.pop("temperature"), **values}


class MegaBatchMargin(LibraryLoss):
    """Margin between each query's answer and the hardest other answer of a large batch (500 and more).

    Uses none of the set's negatives.
    """

    type: Literal["mega_batch_margin"] = "mega_batch_margin"
    library_class: ClassVar[str] = "MegaBatchMarginLoss"
    most_negatives: ClassVar[int | None] = 0
    positive_margin: float = Field(0.8, ge=-1, le=1)
    """The cosine of a pair should be above this."""
    negative_margin: float = Field(0.3, ge=-1, le=1)
    """The cosine of a query and its hardest negative should be below this."""
    use_mini_batched_version: bool = True
    """Whether memory is bounded by `mini_batch_size` instead of the batch, at about twice the time."""
    mini_batch_size: int = Field(50, ge=1)
    """Texts embedded at a time."""
    mini_batch_num_tokens: int | None = Field(None, ge=1)
    """Tokens embedded at a time, in place of `mini_batch_size`."""

    def faults(self) -> Iterable[str]:
        if self.negative_margin >= self.positive_margin:
            yield "negative_margin: must be below positive_margin"
