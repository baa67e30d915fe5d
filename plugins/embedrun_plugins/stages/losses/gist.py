"""Ranking losses in which a guide model keeps passages that answer the query from counting as negatives (GISTEmbed)."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from embedrun.context import Resolver
from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.stages.losses.cached import MiniBatches
from embedrun_plugins.stages.losses.library import LibraryLoss
from embedrun_plugins.stages.named_models import ModelName, files_of, folder_of, missing_folder

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


class Guided(LibraryLoss, ABC):
    """What the guided losses share. Takes one negative of each row at most."""

    most_negatives: ClassVar[int | None] = 1
    guide: ModelName
    """Model that judges: a folder (from the recipe's, or the current one), or a hub id. The stronger, the better."""
    guide_revision: str | None = None
    """Commit, tag or branch of a guide on the hub; name a commit so that the result can be made again."""
    temperature: float = Field(0.01, gt=0)
    """Similarities are divided by this before the softmax."""
    margin_strategy: Literal["absolute", "relative"] = "absolute"
    """Whether `margin` is subtracted from the answer's similarity, or is a share of it."""
    margin: float = 0.0
    """A passage is no negative if the guide finds it more similar to the query than the answer's similarity less
    this margin."""
    contrast_anchors: bool = True
    """Whether the batch's other queries are negatives too."""
    contrast_positives: bool = True
    """Whether answers are compared with each other too."""
    gather_across_devices: bool = False
    """Whether the batches of all processes are compared with each other, when several train together."""

    def inputs(self) -> Iterable[Path]:
        return files_of(self.guide)

    def faults(self) -> Iterable[str]:
        if missing := missing_folder(self.guide):
            yield f"guide: {missing}"

    def fetch(self, resolver: Resolver) -> None:
        folder_of(self.guide, self.guide_revision, offline=resolver.offline)

    def rehearsal(self, rehearsal: Rehearsal) -> Guided:
        from embedrun_plugins.stages.rehearsal.stand_in_models import small_or_random

        return small_or_random(self, rehearsal, "guide", "guide_revision")

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:
        """Return the fields as sentence-transformers' class takes them, the guide loaded beside the model."""
        values = super().arguments(model) | {"guide": self._load(model)}
        return {name: value for name, value in values.items() if name != "guide_revision"}

    def _load(self, model: SentenceTransformer) -> SentenceTransformer:
        from sentence_transformers import SentenceTransformer

        try:
            folder = folder_of(self.guide, self.guide_revision, offline=False)
            guide = SentenceTransformer(str(folder), device=str(model.device), local_files_only=True)
        except (OSError, ValueError, UserError) as error:
            raise UserError(f"loss.guide: '{self.guide}' cannot be loaded: {error}") from error
        return guide.eval().requires_grad_(requires_grad=False)


class GistEmbed(Guided):
    """`multiple_negatives_ranking` without the negatives that a guide model takes for answers."""

    type: Literal["gist_embed"] = "gist_embed"
    library_class: ClassVar[str] = "GISTEmbedLoss"


class CachedGistEmbed(Guided, MiniBatches):
    """`gist_embed` with memory for a mini-batch only."""

    type: Literal["cached_gist_embed"] = "cached_gist_embed"
    library_class: ClassVar[str] = "CachedGISTEmbedLoss"
