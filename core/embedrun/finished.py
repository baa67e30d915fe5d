"""TODO core/embedrun/finished.py."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finished:
    """How one step ended."""

    slot: str
    type: str
    key: str | None
    digest: str | None = None
    cached: bool = False
    seconds: float = 0.0
    peak_memory: int | None = None
    """Bytes of this process's memory at most while the step ran."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    error: str | None = None
