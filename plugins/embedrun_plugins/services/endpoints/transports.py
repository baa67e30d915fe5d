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
TRIES = 6
"""How often a request is sent, the first time included, before its failure counts."""
FIRST_PAUSE = 0.5
"""The longest pause before the second try, in seconds; it doubles with each."""
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


class TransportError(Exception):
    """A request that failed, before it is said to the user."""

    kind: str
    """A word for it: the status of the answer, "time-out", "no connection" …"""
    may_pass: bool
    """Whether the same request may succeed another time."""


class Refused(TransportError):  # noqa: N818  # whoever asked says what it means
    """An endpoint's answer that is no success."""

    def __init__(self, status: int, body: str) -> None:
        self.status, self.said = status, _words(body)
        self.kind, self.may_pass = str(status), status in MAY_PASS
        super().__init__(f"{status}: {self.said}")


class Unanswered(TransportError):  # noqa: N818  # whoever asked says what it means
    """No answer at all: nothing listens, or the connection broke."""

    def __init__(self, reason: str, *, kind: str = "no answer", may_pass: bool = True) -> None:
        self.kind, self.may_pass = kind, may_pass
        super().__init__(reason)


def retries() -> dict[str, Any]:
    """Return how requests are sent again, as the arguments of tenacity's Retrying and AsyncRetrying.

    The pauses are random, so that threads and clients do not come back all at once.
    """
    from tenacity import retry_if_exception, stop_after_attempt, wait_random_exponential

    return {
        "retry": retry_if_exception(lambda error: isinstance(error, TransportError) and error.may_pass),
        "stop": stop_after_attempt(TRIES),
        "wait": wait_random_exponential(FIRST_PAUSE),
        "reraise": True,
    }


def explained(
    where: str,
    problem: TransportError,
    *,
    key: str = "the key, or requires one",
    prompt: str = "of this name",
    advice: str = "send fewer requests at a time",
) -> EmbedrunError:
    """Say what a failed request means, and what can be done about it, in the words of whoever sent it."""
    if not isinstance(problem, Refused):
        hint = "" if problem.kind == "time-out" else "; is it running, and is the address right?"
        return StageError(f"{where}: does not answer: {problem}{hint}")
    text = _MEANINGS.get(problem.status, "answered {status}: {said}")
    text = text.format(status=problem.status, said=problem.said, tries=TRIES, key=key, prompt=prompt, advice=advice)
    certain = problem.status in _MEANINGS and not problem.may_pass
    return UserError(f"{where}: {text}") if certain else StageError(f"{where}: {text}")


_MEANINGS = {
    **dict.fromkeys((301, 302, 303, 307, 308), "redirects, which is not followed, since the key would go along"),
    **dict.fromkeys((401, 403), "does not accept {key} ({said}); see api_key_env"),
    404: "is not such an endpoint ({said}); give its address without /embed",
    413: "refuses a text as too long to be sent ({said}); split it first",
    422: "refuses the request: {said}; does its model have a prompt {prompt}?",
    424: "cannot run its model: {said}; see the server's log",
    429: "is overloaded, even after {tries} tries with growing pauses ({said}); {advice}",
    503: "is not healthy, or is still loading its model: {said}",
}


def _words(body: str) -> str:
    """Return what a server says is wrong: TEI's {error}, another's {message}, or the text itself."""
    try:
        answer: Any = json.loads(body)
    except ValueError:
        answer = body
    if isinstance(answer, dict):
        answer = answer.get("error") or answer.get("message") or answer.get("detail") or answer
    return " ".join(str(answer).split())[:_SAID].rstrip(".") or "no reason given"


@dataclass(frozen=True)
class SharedTransport(ABC, Generic[Made]):
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
        return {name.name: getattr(self, name.name) for name in fields(self)}

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
