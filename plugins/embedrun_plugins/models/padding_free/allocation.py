"""Memory that is used again at every training step stays with the process."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
"""Parameters of glibc's mallopt, as in its malloc.h."""
_DEFAULT_TRIM_THRESHOLD, _DEFAULT_MMAP_MAX = 128 * 1024, 65536
_keeping: list[object] = []
"""Who keeps memory now: an evaluation within a training must not end what the training still wants."""


@contextmanager
def keep_freed_memory() -> Iterator[None]:
    """Have glibc keep what is freed instead of giving it back, and ask for it again page by page.

    Torch frees and allocates every step's activations on a CPU, whose pages the kernel must zero each time: a tenth of
    a step. Does nothing with another C library.
    """
    library: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(library, "mallopt") or not hasattr(library, "malloc_trim"):
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    _keeping.append(library)
    try:
        yield
    finally:
        _keeping.pop()
        if not _keeping:
            _give_back(library)


def _give_back(library: Any) -> None:
    library.mallopt(_M_MMAP_MAX, _DEFAULT_MMAP_MAX)
    library.mallopt(_M_TRIM_THRESHOLD, _DEFAULT_TRIM_THRESHOLD)
    library.malloc_trim(0)
