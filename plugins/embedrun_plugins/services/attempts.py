"""The attempts at one request: its client may send it again and again, and each may be charged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Attempts(Protocol):
    """Whoever counts the attempts at a request."""

    def sending(self) -> None:
        """Count one more; what this raises keeps it from being sent."""

    def unsent(self) -> None:
        """Take the last one back: no connection was made, so nobody can charge it."""

    def answered(self, status: int) -> bool:
        """Take note of an answer's HTTP status; return whether another attempt would be allowed."""


_CURRENT: ContextVar[Attempts | None] = ContextVar("attempts", default=None)


@contextmanager
def counted_by(attempts: Attempts) -> Iterator[None]:
    """Tell of each attempt at the one request that is sent in this thread meanwhile."""
    token = _CURRENT.set(attempts)
    try:
        yield
    finally:
        _CURRENT.reset(token)


def sending() -> None:
    """Say that a request is about to be sent."""
    if attempts := _CURRENT.get():
        attempts.sending()


def unsent() -> None:
    """Say that it could not be sent."""
    if attempts := _CURRENT.get():
        attempts.unsent()


def answered(status: int) -> bool:
    """Say what it was answered with; return whether it may be sent again."""
    attempts = _CURRENT.get()
    return attempts is None or attempts.answered(status)
