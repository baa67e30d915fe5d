"""Dropout while a model is trained."""

from __future__ import annotations

import torch


def set_dropout(model: torch.nn.Module, probability: float) -> None:
    """Set every dropout layer, and the attention's own where it is a number; the saved configuration stays as it is."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = probability
        elif isinstance(getattr(module, "attention_dropout", None), float):
            vars(module)["attention_dropout"] = probability
