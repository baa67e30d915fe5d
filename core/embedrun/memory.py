"""The most memory that this process held while something ran."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Self


class PeakMemory:
    """Measures, as a context manager, the peak resident memory in bytes; None where the system does not tell."""

    def __init__(self) -> None:
        self.bytes: int | None = None

    def __enter__(self) -> Self:
        # Linux forgets the peak so far when 5 is written here.
        with contextlib.suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5", "ascii")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(OSError, StopIteration, ValueError):
            status = Path("/proc/self/status").read_text("ascii", "replace").splitlines()
            line = next(line for line in status if line.startswith("VmHWM:"))
            self.bytes = int(line.split()[1]) * 1024
