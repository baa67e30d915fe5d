"""What the rerankers' losses share: all are classes of sentence-transformers' cross-encoders."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from embedrun.stages import RerankerLoss

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["identity", "sigmoid", "tanh"]
_ACTIVATIONS = {"identity": "Identity", "sigmoid": "Sigmoid", "tanh": "Tanh"}


class CrossEncoderLoss(RerankerLoss, ABC):
    """A loss whose class in sentence-transformers takes the fields by their names."""

    library_class: ClassVar[str]
    """Name of that class."""
    activation_fn: Activation = "identity"
    """What is applied to the model's scores before the loss compares them."""

    def arguments(self) -> dict[str, Any]:
        """Return the fields as the class takes them."""
        from torch import nn

        values = self.model_dump(exclude={"type"})
        return values | {"activation_fn": getattr(nn, _ACTIVATIONS[self.activation_fn])()}

    def build(self, model: Any) -> nn.Module:
        from sentence_transformers.cross_encoder import losses

        module: nn.Module = getattr(losses, self.library_class)(model, **self.arguments())
        return module
