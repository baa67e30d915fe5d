"""Dropout of every layer of a model, however it keeps it."""

from __future__ import annotations

import torch


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Set every dropout layer, and the attention's own where it is a number; the saved configuration stays as it is."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
            continue
        # T5, Longformer and BigBird keep it as `dropout`, others as `attention_dropout` or the like.
        for name, value in vars(module).items():
            if "dropout" in name and isinstance(value, float):
                vars(module)[name] = probability
