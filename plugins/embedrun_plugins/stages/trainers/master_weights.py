"""Weights of 16 bits are trained in 32, since steps are too small for 16, and saved in the format they came in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from embedrun.context import Context

_HALVES = (torch.float16, torch.bfloat16)
Stored = Sequence[tuple[torch.Tensor, torch.dtype]]
"""Weights, each with the format that it is stored in."""


def prepare(model: torch.nn.Module, declared: str | None, ctx: Context) -> Stored:
    """Turn 16 bits to float32 for training, except a declared bfloat16; returns what `narrow` takes afterwards.

    float16 is never trained in: there, AdamW's squared gradients and its epsilon are 0, and its steps ruin the weights.
    """
    trained = {parameter.dtype for parameter in model.parameters() if parameter.requires_grad}
    if trained.isdisjoint(_HALVES):
        return ()
    if declared == "bfloat16":
        ctx.warn(
            "the weights are trained in 16 bits, in which small steps are lost; leave model.dtype out to train in "
            "float32, or use trainer.lora"
        )
        return ()
    stored = [
        (tensor, tensor.dtype) for tensor in chain(model.parameters(), model.buffers()) if tensor.dtype in _HALVES
    ]
    for tensor, _ in stored:
        tensor.data = tensor.data.float()
    formats = ", ".join(sorted({str(dtype).removeprefix("torch.") for _, dtype in stored}))
    ctx.note("weights", f"trained in float32, saved in {formats} as before")
    return stored


def narrow(stored: Stored) -> None:
    """Turn weights back into the formats that they had."""
    for tensor, dtype in stored:
        tensor.data = tensor.data.to(dtype)
