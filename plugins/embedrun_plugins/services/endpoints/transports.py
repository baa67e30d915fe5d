"""One request to an endpoint, however it is reached, and what may come of it."""

from __future__ import annotations

import asyncio
import json
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar

from embedrun.errors import EmbedrunError, StageError, UserError

Made = TypeVar("Made")
_MAKING = threading.Lock()
"""Held while a transport makes the client that its threads share."""
MAY_PASS = frozenset({408, 424, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed another time."""
TOO_LARGE = 413
OVERLOADED = 429
_SAID = 300
"""Characters of a server's own words that an error repeats."""


class Transport(Protocol):
    """What carries one request's JSON to an endpoint and its answer back; threads may share it."""

    @property
    def where(self) -> str:
        """The endpoint's name in errors."""

    def send(self, body: bytes) -> bytes:
        """Send once. Raises Refused where the endpoint answers with an error, Unanswered where it does not answer."""

    async def send_async(self, body: bytes) -> bytes:
        """Do the same without blocking the event loop."""

    def close(self) -> None:
        """Let go of connections."""


class Refused(Exception):  # noqa: N818  # whoever asked says what it means
    """An endpoint's answer that is no success."""

    def __init__(self, status: int, body: str) -> None:
        self.status, self.said = status, _words(body)
        super().__init__(f"{status}: {self.said}")


class Unanswered(Exception):  # noqa: N818  # whoever asked says what it means
    """No answer at all: nothing listens, or the connection broke."""

    def __init__(self, reason: str, *, kind: str = "no answer", may_pass: bool = True) -> None:
        self.kind, self.may_pass = kind, may_pass
        super().__init__(reason)


def explained(where: str, problem: Refused | Unanswered) -> EmbedrunError:
    """Say what a failed request means, and what can be done about it."""
    if isinstance(problem, Unanswered):
        hint = "" if problem.kind == "time-out" else "; is it running, and is the address right?"
        return StageError(f"{where}: does not answer: {problem}{hint}")
    text = _MEANINGS.get(problem.status)
    if text and problem.status not in MAY_PASS:
        return UserError(f"{where}: {text.format(said=problem.said)}")
    return StageError(f"{where}: {(text or f'answered {problem.status}: {{said}}').format(said=problem.said)}")


_MEANINGS = {
    **dict.fromkeys((301, 302, 303, 307, 308), "redirects, which is not followed, since the key would go along"),
    **dict.fromkeys((401, 403), "does not accept the key, or wants one ({said}); see api_key_env"),
    404: "is no such endpoint ({said}); an address is given without /embed",
    413: "refuses a text as too long to be sent ({said}); split it first",
    422: "refuses the request: {said}; has its model a prompt of this name?",
    424: "cannot run its model: {said}; see the server's log",
    429: "is overloaded ({said}); send fewer requests at a time",
    503: "is not healthy, or still loads its model: {said}",
}


def _words(body: str) -> str:
    """Return what a server says is wrong: TEI's {error}, another's {message}, or the text itself."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        found = body
    if isinstance(found, dict):
        found = found.get("error") or found.get("message") or found.get("detail") or found
    return " ".join(str(found).split())[:_SAID].rstrip(".") or "no reason given"


@dataclass(frozen=True)
class Shared(ABC, Generic[Made]):
    """A transport whose threads share a client, made where it is first asked for and left out of pickles."""

    @abstractmethod
    def send(self, body: bytes) -> bytes:
        """Send once, as `Transport` says."""

    async def send_async(self, body: bytes) -> bytes:
        return await asyncio.to_thread(self.send, body)

    def close(self) -> None:
        if (made := self.__dict__.pop("_made", None)) is not None:
            self._end(made)

    def __getstate__(self) -> dict[str, Any]:
        return {given.name: getattr(self, given.name) for given in fields(self)}

    @property
    def _client(self) -> Made:
        with _MAKING:
            return self._made

    @cached_property
    def _made(self) -> Made:
        return self._make()

    @abstractmethod
    def _make(self) -> Made:
        """Return a new client."""

    @abstractmethod
    def _end(self, made: Made) -> None:
        """Let go of a client."""
