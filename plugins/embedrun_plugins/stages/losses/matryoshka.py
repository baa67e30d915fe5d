"""Losses around another loss, so that a model is also good at fewer dimensions or with fewer layers."""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field

from embedrun.context import Resolver
from embedrun.errors import UserError
from embedrun.stages import Loss, Rows
from embedrun_plugins.stages.losses.cached import MiniBatches
from embedrun_plugins.stages.losses.ranking import MegaBatchMargin
from embedrun_plugins.stages.losses.scored_pairs import Softmax

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


def caches_gradients(loss: Loss) -> bool:
    """Say whether a loss embeds its batch a second time in the backward pass, when a wrapper's changes are undone."""
    return isinstance(loss, MiniBatches) or (isinstance(loss, MegaBatchMargin) and loss.use_mini_batched_version)


class Wrapping(Loss, ABC):
    """What the losses share that have an inner loss: they are fed what it is fed."""

    inner: Loss
    """The loss that is applied again and again, with its own keys."""

    def fed(self) -> Rows:
        return self.inner.fed()

    def inputs(self) -> Iterable[Path]:
        return self.inner.inputs()

    def resolve(self, resolver: Resolver) -> Self:
        return self.model_copy(update={"inner": self.inner.resolve(resolver)})


class Nested(Wrapping, ABC):
    """What the losses share whose class in sentence-transformers takes the inner loss, and what is to be varied."""

    library_class: ClassVar[str]
    """Name of that class."""

    def faults(self) -> Iterable[str]:
        if isinstance(self.inner, Nested):
            yield f"inner: '{self.inner.type}' wraps a loss itself; for both dimensions and layers use matryoshka_2d"

    def require(self, model: SentenceTransformer) -> None:
        """Raise UserError where the model cannot be varied so."""

    def arguments(self) -> dict[str, Any]:
        return {}

    def build(self, model: SentenceTransformer) -> nn.Module:
        from sentence_transformers.sentence_transformer import losses

        self.require(model)
        module: nn.Module = getattr(losses, self.library_class)(model, self.inner.build(model), **self.arguments())
        return module


class Dimensions(Nested, ABC):
    """What the Matryoshka losses share."""

    dims: tuple[int, ...] = Field(min_length=1)
    """Numbers of leading dimensions to train; include the model's own, so that full vectors stay good."""
    weights: tuple[float, ...] | None = None
    """How much each of `dims` counts, in the same order; by default all the same."""
    n_dims_per_step: int = Field(-1, ge=-1)
    """How many of `dims` are trained in each step, chosen at random; -1 for all."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.n_dims_per_step == 0:
            yield "n_dims_per_step: 0 would train nothing; use -1 for all"
        if min(self.dims) < 1:
            yield "dims: must be at least 1"
        if len(set(self.dims)) < len(self.dims):
            yield "dims: one is given twice"
        if self.weights is not None and len(self.weights) != len(self.dims):
            yield f"weights: {len(self.weights)} given for {len(self.dims)} dims"
        if self.weights is not None and min(self.weights, default=0) < 0:
            yield "weights: must not be negative"
        if isinstance(self.inner, Softmax):
            yield "inner: 'softmax' needs vectors of one length and cannot learn several"

    def require(self, model: SentenceTransformer) -> None:
        """Raise UserError where the model's vectors are shorter than one of `dims`."""
        most = model.get_embedding_dimension()
        if most is not None and max(self.dims) > most:
            raise UserError(f"loss.dims: {max(self.dims)} is more than the model's {most} dimensions")
        super().require(model)

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {
            "matryoshka_dims": list(self.dims),
            "matryoshka_weights": list(self.weights) if self.weights else None,
            "n_dims_per_step": self.n_dims_per_step,
        }


class Layers(Nested, ABC):
    """What the losses share that also train earlier layers' outputs."""

    n_layers_per_step: int = Field(1, ge=-1)
    """Earlier layers trained in each step, chosen at random; -1 for all."""
    last_layer_weight: float = Field(1.0, ge=0)
    """How much the last layer's loss counts."""
    prior_layers_weight: float = Field(1.0, ge=0)
    """How much the earlier layers' losses count."""
    kl_div_weight: float = Field(1.0, ge=0)
    """How much it counts that earlier layers differ from the last (KL divergence)."""
    kl_temperature: float = Field(0.3, ge=0)
    """Temperature of that divergence; 0 leaves it out."""
    layer_weighting: Literal["uniform", "log", "linear"] = "uniform"
    """How much each earlier layer counts: all the same, or less the later it is."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.n_layers_per_step == 0:
            yield "n_layers_per_step: 0 would train no earlier layer; use -1 for all"
        if caches_gradients(self.inner):
            yield f"inner: '{self.inner.type}' caches gradients, which does not work with layers; use the plain loss"

    def require(self, model: SentenceTransformer) -> None:
        """Raise UserError where the model is no stack of transformer layers."""
        from sentence_transformers.sentence_transformer.modules import Transformer

        if not isinstance(model[0], Transformer):
            raise UserError(f"loss: '{self.type}' needs a transformer, and this model is a {type(model[0]).__name__}")

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | self.model_dump(include=set(Layers.model_fields) - set(Wrapping.model_fields))


class Matryoshka(Dimensions):
    """The inner loss at several numbers of leading dimensions, so that vectors can be cut (Kusupati et al. 2022)."""

    type: Literal["matryoshka"] = "matryoshka"
    library_class: ClassVar[str] = "MatryoshkaLoss"


class AdaptiveLayer(Layers):
    """The inner loss on the outputs of earlier layers too, so that layers can be cut off."""

    type: Literal["adaptive_layer"] = "adaptive_layer"
    library_class: ClassVar[str] = "AdaptiveLayerLoss"


class Matryoshka2d(Dimensions, Layers):
    """`matryoshka` and `adaptive_layer` together (Li et al. 2024)."""

    type: Literal["matryoshka_2d"] = "matryoshka_2d"
    library_class: ClassVar[str] = "Matryoshka2dLoss"
    n_dims_per_step: int = Field(1, ge=-1)
    """How many of `dims` are trained in each step, chosen at random; -1 for all."""
