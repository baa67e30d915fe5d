"""Rehearsals of embedders behind a service: made-up vectors stand in for those that it would send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from zlib import crc32

from embedrun.artifacts import Encoder
from embedrun.context import Context
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Embedder

if TYPE_CHECKING:
    from embedrun.artifacts import Role
    from embedrun_plugins.stages.embedders.embedding_service import EmbeddingAnswer


class _Unsent(Embedder):
    """Vectors of texts that are sent nowhere."""

    type: str
    size: int
    """Dimensions of the vectors."""

    def connect(self, ctx: Context) -> Encoder:
        from embedrun_plugins.stages.embedders.service_encoder import ServiceEncoder

        return ServiceEncoder(WordVectors(self.size), ctx, name=self.role)


def unsent(stage: Embedder, rehearsal: Rehearsal, size: int) -> Embedder:
    """Return an embedder of the same name that sends nothing; its vectors have `size` dimensions."""
    rehearsal.note(f"nothing is sent to it: made-up vectors of {size} dimensions are used instead")
    return _Unsent(type=stage.type, name=stage.name, size=size)


@dataclass(frozen=True)
class WordVectors:
    """Embeds a text by its words, each of which counts in one dimension, so that like texts have like vectors."""

    dimensions: int
    most_texts: int = 32
    most_letters: int | None = None

    def identity(self, role: Role) -> dict[str, Any]:  # noqa: ARG002  # both are read alike
        return {"service": "rehearsal", "dimensions": self.dimensions}

    def open(self) -> None:
        """Be ready: there is nothing to connect to."""

    def ask(self, texts: Sequence[str], role: Role) -> EmbeddingAnswer:  # noqa: ARG002
        from embedrun_plugins.stages.embedders.embedding_service import EmbeddingAnswer

        return EmbeddingAnswer([self._vector(text) for text in texts])

    def _vector(self, text: str) -> list[float]:
        counts = [0.0] * self.dimensions
        for word in text.lower().split() or [text]:
            counts[crc32(word.encode()) % self.dimensions] += 1.0
        return counts
