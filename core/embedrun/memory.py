"""The most memory that this process held while something ran."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], int | None]]:
    """Yield a function that says the peak resident memory since then, in bytes; None where the system does not tell."""
    # Linux forgets the peak so far when 5 is written here.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")

    def peak() -> int | None:
        with contextlib.suppress(OSError):
            if match := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii", "replace")):
                return int(match[1]) * 1024
        return None

    yield peak
