"""How one step of a run ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finished:
    """How one step ended."""

    slot: str
    """What the step is called: `trainer`, `filters.0.length`, `evaluator.information_retrieval.tuned`."""
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

    @property
    def kind(self) -> str:
        """The key of the recipe that its stage stands under."""
        return self.slot.partition(".")[0]

    @property
    def name(self) -> str:
        """What is left of the slot without its kind; a deployer's name in the recipe."""
        return self.slot.partition(".")[2]
