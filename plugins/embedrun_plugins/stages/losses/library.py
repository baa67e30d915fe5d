"""What the losses share that are classes of sentence-transformers."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar

from embedrun.stages import Loss

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


class LibraryLoss(Loss, ABC):
    """A loss whose class in sentence-transformers takes the fields by their names."""

    library_class: ClassVar[str]
    """Name of that class."""
    similarity_prefix: ClassVar[str] = ""
    """What sentence-transformers' function has before the name in `similarity_fct`."""

    def arguments(self, model: SentenceTransformer) -> dict[str, Any]:  # noqa: ARG002 - some load another beside it
        """Return the fields as the class takes them."""
        values = self.model_dump(exclude={"type"})
        if "similarity_fct" in values:
            from sentence_transformers import util

            values["similarity_fct"] = getattr(util, f"{self.similarity_prefix}{values['similarity_fct']}")
        return values

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer import losses

        module: nn.Module = getattr(losses, self.library_class)(model, **self.arguments(model))
        return module
