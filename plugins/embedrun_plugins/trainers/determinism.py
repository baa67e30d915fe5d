"""Algorithms of torch that give the same bits every time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def reproducible() -> Iterator[None]:
    """On a CPU, where it costs nothing, have torch choose algorithms that give the same bits every time.

    Where it has none, it warns and goes on. Filling memory that is about to be written is left out, since that costs.
    """
    enabled, warning = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    if not torch.cuda.is_available():
        torch.use_deterministic_algorithms(mode=True, warn_only=True)
        memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(enabled, warn_only=warning)
        memory.fill_uninitialized_memory = filling
