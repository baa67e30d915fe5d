"""A weighted average of models' weights, all of them, with what a model's vectors depend on beside them kept.

As `mix_models` of LM-Cocktail (Xiao et al. 2023, "LM-Cocktail: Resilient Tuning of Language Models via Model Merging"),
but for whole sentence-transformers models: layers after the pooling are averaged, too, and the pooling stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

Tensors = Mapping[str, "Tensor"]


@dataclass(frozen=True)
class Part:
    """A model in the mix: what it is called in errors, its parameters and buffers."""

    name: str
    tensors: Tensors


@dataclass
class Mix:
    """The base, the tuned model, which becomes the mix, and the weights that are mixed, the base's first."""

    base: SentenceTransformer
    model: SentenceTransformer
    parts: list[Part]

    @classmethod
    def of(cls, ctx: Context, base: Model, tuned: Model) -> Mix:
        """Load both. Raises UserError where they cannot be mixed, and warns where they differ otherwise."""
        first, model = base.load("cpu"), tuned.load("cpu")
        require_same_modules("the base", first, "the tuned model", model)
        for difference in _differences(first, model):
            ctx.warn(f"base and tuned model differ in their {difference}; the mix has the tuned model's")
        # The tuned model's own tensors are about to be overwritten.
        copied = {key: tensor.detach().clone() for key, tensor in model.state_dict().items()}
        parts = [Part("the base", first.state_dict()), Part("the tuned model", copied)]
        require_same_tensors(*parts)
        return cls(first, model, parts)

    def add(self, name: str, other: SentenceTransformer, *, only_weights: bool) -> None:
        """Add a model; `only_weights` where nothing but these is known of it. Raises UserError where it cannot be."""
        if not only_weights:
            require_same_modules("the base", self.base, name, other)
        part = Part(name, other.state_dict())
        require_same_tensors(self.parts[0], part)
        self.parts.append(part)

    def weigh(self, *weights: float) -> SentenceTransformer:
        """Return the mix of all parts by their weights; it is one and the same model every time.

        The average is taken in float64 and stored in the base's number format; what is no floating-point number, such
        as a table of positions, is the base's.
        """
        model = self.model
        tensors: dict[str, Tensor] = dict(model.named_parameters(remove_duplicate=False))
        tensors |= dict(model.named_buffers(remove_duplicate=False))
        with torch.no_grad():
            for key, first in self.parts[0].tensors.items():
                mixed = self._average(key, weights) if first.is_floating_point() else first
                tensors[key].data = mixed.to(device=tensors[key].device, dtype=first.dtype)
        return model

    def _average(self, key: str, weights: Sequence[float]) -> Tensor:
        total = torch.zeros_like(self.parts[0].tensors[key], dtype=torch.float64)
        for part, weight in zip(self.parts, weights, strict=True):
            total.add_(part.tensors[key].to(total), alpha=weight)
        return total

    def save(self, folder: Path) -> None:
        """Write the mix as a complete sentence-transformers folder."""
        self.model.save_pretrained(str(folder), create_model_card=False)


def require_same_tensors(first: Part, other: Part) -> None:
    """Raise UserError, naming the first difference, where two models are not of one architecture."""
    for key, tensor in first.tensors.items():
        if key not in other.tensors:
            raise UserError(f"cannot be mixed: {first.name} has weights '{key}', which {other.name} has not")
        if other.tensors[key].shape != tensor.shape:
            shapes = (" x ".join(map(str, part.tensors[key].shape)) for part in (first, other))
            raise UserError(
                f"cannot be mixed: '{key}' is {next(shapes)} in {first.name} and {next(shapes)} in {other.name}"
            )
    for key in other.tensors:
        if key not in first.tensors:
            raise UserError(f"cannot be mixed: {other.name} has weights '{key}', which {first.name} has not")


def require_same_modules(first_name: str, first: SentenceTransformer, name: str, other: SentenceTransformer) -> None:
    """Raise UserError where two models make their vectors differently: by other modules, pooling or normalisation."""
    names = [[type(module).__name__ for module in model] for model in (first, other)]
    if names[0] != names[1]:
        raise UserError(
            f"cannot be mixed: {first_name} is made of {', '.join(names[0])}, and {name} of {', '.join(names[1])}"
        )
    for module, config, other_config in zip(names[0], _settings(first), _settings(other), strict=True):
        for key, value in config.items():
            if (other_value := other_config.get(key)) != value:
                where = f"{value!r} in {first_name} and {other_value!r} in {name}"
                raise UserError(f"cannot be mixed: {key} of {module} is {where}")


def _settings(model: SentenceTransformer) -> Iterator[dict[str, Any]]:
    """Yield each module's configuration, but for transformers', whose weights say what they are."""
    for module in model:
        get: Any = getattr(module, "get_config_dict", dict)
        yield dict(get()) if not hasattr(module, "tokenizer") else {}


def _differences(first: SentenceTransformer, other: SentenceTransformer) -> Iterator[str]:
    """Say in which of the settings that do not keep models from being mixed two of them differ."""
    if first.max_seq_length != other.max_seq_length:
        yield f"length ({first.max_seq_length} and {other.max_seq_length} tokens)"
    for role in ("query", "document"):
        prompts = [model.prompts.get(role) or "" for model in (first, other)]
        if prompts[0] != prompts[1]:
            yield f"{role} prompt ({prompts[0]!r} and {prompts[1]!r})"
