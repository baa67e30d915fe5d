"""One training as it is written down for FlagEmbedding's processes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Job:
    """What a process is told: FlagEmbedding's own arguments by its names, and what it has no argument for."""

    model: dict[str, Any]
    data: dict[str, Any]
    training: dict[str, Any]
    normalize: bool
    """Whether the model's own vectors are normalised."""
    max_length: int | None = None
    """Tokens that the model itself reads of a text."""
    attention: str | None = None
    dropout: float | None = None
    save_min_seconds: float = 60.0
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Texts by role, whose vectors are left in `vectors` to be compared."""
    vectors: str = ""

    @property
    def output(self) -> Path:
        return Path(self.training["output_dir"])

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, file: Path) -> Job:
        return cls(**json.loads(file.read_text("utf-8")))
