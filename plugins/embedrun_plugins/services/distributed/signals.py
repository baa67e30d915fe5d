"""Ending a training early, with a checkpoint from which the next one goes on, where SIGTERM asks for it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

StopRequested = Callable[[], bool]
"""Says whether training is to end."""


@contextmanager
def until_terminated(act: Callable[[], object]) -> Iterator[None]:
    """Do `act` on SIGTERM in place of what it does otherwise; that follows at the end, if nothing else ended this."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = threading.Event()

    def terminated(*_: object) -> None:
        received.set()
        act()

    before = signal.signal(signal.SIGTERM, terminated)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
    if received.is_set():
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def stop_requested() -> Iterator[StopRequested]:
    """Give what tells whether SIGTERM has come."""
    received = threading.Event()
    with until_terminated(received.set):
        yield received.is_set
