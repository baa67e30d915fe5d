"""What a service that embeds texts must be able to do, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from embedrun.artifacts import Role

_NUMBER = re.compile(r"\d{2,}")
_ROOM = 0.95


class TooLong(Exception):  # noqa: N818  # no error: the texts are cut, or sent in smaller batches
    """A request holds more than the service reads at once."""

    @property
    def share(self) -> float:
        """How much of the request it would read, by its own words: "8192 tokens at most, not 10000". Else half."""
        numbers = sorted({int(number) for number in _NUMBER.findall(str(self))})
        return _ROOM * numbers[-2] / numbers[-1] if len(numbers) > 1 else 0.5


@dataclass(frozen=True)
class EmbeddingAnswer:
    """What a service makes of a few texts."""

    vectors: Sequence[Sequence[float]]
    """One for each text, in their order."""
    tokens: int = 0
    """Tokens that it counted, if it counts."""


class EmbeddingService(Protocol):
    """A service with one model; any number of threads may ask it once it is open."""

    @property
    def most_texts(self) -> int:
        """How many texts a request may hold."""

    @property
    def most_letters(self) -> int | None:
        """How many characters of each text may be sent; the rest is cut off here."""

    @property
    def dimensions(self) -> int | None:
        """How many dimensions its vectors must have, where that is asked for."""

    def identity(self, role: Role) -> dict[str, Any]:
        """Return all that its answers depend on beside the text, as JSON."""

    def open(self) -> None:
        """Get ready to be asked. Raises UserError where it cannot be asked: no credentials, no server."""

    def ask(self, texts: Sequence[str], role: Role) -> EmbeddingAnswer:
        """Embed up to `most_texts` texts.

        Raises TooLong where they are more than it reads, UserError where no such request can succeed before something
        is changed, StageError where this one failed.
        """
