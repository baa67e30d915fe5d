"""Ending a training early, with a checkpoint from which the next one goes on, where SIGTERM asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Asked = Callable[[], bool]
"""Says whether training is to end."""


@contextmanager
def until_terminated(act: Callable[[], object]) -> Iterator[None]:
    """Do `act` on SIGTERM in place of what it does otherwise; that follows at the end, if nothing else ended this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came = threading.Event()

    def terminated(*_: object) -> None:
        came.set()
        act()

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if came.is_set():
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def requested() -> Iterator[Asked]:
    """Give what tells whether SIGTERM has come."""
    came = threading.Event()
    with until_terminated(came.set):
        yield came.is_set
