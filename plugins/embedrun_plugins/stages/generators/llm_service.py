"""What a language model is asked, what it replies, and who asks it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

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


def likely_input_tokens(request: Request) -> int:
    """Estimate a request's tokens: four characters each, as usual in English."""
    return (len(request["system"]) + len(request["prompt"])) // 4 + 16
