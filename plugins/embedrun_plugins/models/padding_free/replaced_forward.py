"""A model that takes another forward pass for a while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from embedrun_plugins.models.padding_free import ragged_attention


@contextmanager
def replaced_forward(model: nn.Module, forward: Callable[..., Any], *, ragged: bool = False) -> Iterator[None]:
    """Have a model of sentence-transformers take this forward pass and, if `ragged`, attend in blocks.

    Afterwards it is as before; what accelerate put around the forward pass meanwhile goes, too.
    """
    before = vars(model).get("forward")
    transformer: Any = model.transformers_model if ragged else None
    attention = transformer.config._attn_implementation if ragged else None  # noqa: SLF001 - it has no public name
    vars(model)["forward"] = forward
    if ragged:
        ragged_attention.register()
        transformer.set_attn_implementation(ragged_attention.NAME)
    try:
        yield
    finally:
        del vars(model)["forward"]
        if before is not None:
            vars(model)["forward"] = before
        if ragged:
            transformer.set_attn_implementation(attention)
