"""What a language model is asked, what it replies, and who asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

_ABSURD = 10**9
"""So many tokens no request takes."""
Stop = Literal["end", "length", "declined"]
Request = Mapping[str, Any]
"""What is asked, as JSON: `service`, `model`, `system`, `prompt` and `parameters`. Its hash names the kept answer, so
it holds nothing that cannot change the answer, such as a host."""


@dataclass(frozen=True)
class Reply:
    """What a model wrote, and the tokens that it took."""

    text: str
    stop: Stop = "end"
    """Why it ended: by itself, at the most tokens, or because the service refuses this passage; `text` says why."""
    input_tokens: int = 0
    output_tokens: int = 0
    share: float = 1.0
    """Part of the price on demand that it cost: half in a batch."""

    @property
    def kept(self) -> dict[str, Any]:
        """The reply as JSON."""
        return asdict(self)


class LanguageModelService(Protocol):
    """A connected service, which any number of threads may use."""

    def ask(self, request: Request) -> Reply:
        """Return the reply.

        Raises UserError where no request can succeed before something is changed, StageError where this one failed.
        """


def most_input_tokens(request: Request) -> int:
    """Return what a request cannot exceed: a token is a byte at least, and a few mark the roles."""
    return len(request["system"].encode()) + len(request["prompt"].encode()) + 64


def usage_of(request: Request, text: str, read: Any, written: Any) -> tuple[int, int]:
    """Return the tokens in and out of a reply as the service counts them; the worst case where it says no such thing.

    A prompt takes some, and so does a text; what is no count, or no number that a model reaches, is none.
    """
    worst = most_input_tokens(request), max(int(request["parameters"].get("max_tokens") or 0), len(text.encode()))
    least = 1, int(bool(text))
    counted = zip((read, written), least, worst, strict=True)
    first, second = (value if _is_count(value) and value >= low else high for value, low, high in counted)
    return first, second


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value < _ABSURD


def well_formed(text: str) -> str:
    """Return a text that can be written as UTF-8: half a character, as JSON can hold, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()


def likely_input_tokens(request: Request) -> int:
    """Estimate a request's tokens: four characters each, as usual in English."""
    return (len(request["system"]) + len(request["prompt"])) // 4 + 16
