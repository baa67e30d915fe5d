"""The memory that cuBLAS works in, on which it depends whether it gives the same bits every time.

Source: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
"""

from __future__ import annotations

import os
import sys

from embedrun.record import RunRecord
from embedrun_plugins.reporting.contests import recipe_of

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
    if not (recipe_of(run).get("trainer") or {}).get("full_determinism"):
        return
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        os.environ.setdefault(VARIABLE, CHOSEN)
