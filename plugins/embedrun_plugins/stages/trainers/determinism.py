"""Algorithms of torch that give the same bits every time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from embedrun.errors import StageError, UserError
from embedrun.record import RunRecord

_FLASH = "FLASH_ATTENTION_DETERMINISTIC"
"""Read by transformers in every call of flash-attention."""


@contextmanager
def reproducible(*, on_cuda: bool, wanted: bool = False) -> Iterator[None]:
    """Have torch choose algorithms that give the same bits every time: on a CPU always, with CUDA where it is asked.

    On a CPU it costs nothing, and where torch has none it warns and goes on; attention in torch is exact only if it
    may not. Filling memory that is about to be written is left out, since that costs.
    Raises UserError where CUDA cannot be made to any more, StageError where torch has no such algorithm.
    Source: torch.use_deterministic_algorithms and https://pytorch.org/docs/stable/notes/randomness.html
    """
    import torch

    strict = on_cuda and wanted
    if strict and torch.version.cuda and not is_deterministic():
        raise UserError(
            f"full_determinism: CUDA is in use in this process already; set {VARIABLE}={CHOSEN} before it starts"
        )
    before = _state()
    if wanted or not on_cuda:
        _apply((True, not strict, False, "1" if strict else before[3]))
    try:
        yield
    except RuntimeError as error:
        if strict and "deterministic" in str(error):
            reason = str(error).partition(", but you set")[0]
            raise StageError(f"full_determinism: {reason}; use another loss or option, or leave it out") from error
        raise
    finally:
        _apply(before)


_State = tuple[bool, bool, bool, str | None]
"""Whether algorithms are deterministic, whether torch only warns, whether it fills memory; for flash-attention."""


def _state() -> _State:
    import torch

    memory: Any = torch.utils.deterministic
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        memory.fill_uninitialized_memory,
        os.environ.get(_FLASH),
    )


def _apply(state: _State) -> None:
    import torch

    enabled, warning, filling, flash = state
    memory: Any = torch.utils.deterministic
    torch.use_deterministic_algorithms(enabled, warn_only=warning)
    memory.fill_uninitialized_memory = filling
    if flash is None:
        os.environ.pop(_FLASH, None)
    else:
        os.environ[_FLASH] = flash


VARIABLE = "CUBLAS_WORKSPACE_CONFIG"
CHOSEN = ":4096:8"
"""About 24 MiB more of the GPU's memory; the other choice is slower."""
_DETERMINISTIC = (CHOSEN, ":16:8")


def is_deterministic() -> bool:
    """Say whether cuBLAS was told before CUDA was first used, as far as this process knows."""
    return os.environ.get(VARIABLE) in _DETERMINISTIC


def prepare(run: RunRecord) -> None:
    """Tell cuBLAS, for a run whose trainer asks for full determinism, while CUDA is not in use in this process yet.

    The stages before the trainer use CUDA, too, and later it is not read again.
    """
    if not (run.recipe.get("trainer") or {}).get("full_determinism"):
        return
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        os.environ.setdefault(VARIABLE, CHOSEN)
