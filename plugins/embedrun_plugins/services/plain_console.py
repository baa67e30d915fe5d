"""A run as lines of text: one for each thing that happens."""

from __future__ import annotations

import sys
import threading
import time
from typing import TextIO

from embedrun.console import Console
from embedrun.errors import printable
from embedrun.finished import Finished
from embedrun_plugins.services.pace import Pace

INTERVAL = 5.0
"""Seconds after which a running stage says how far it is, if nothing else was said."""
_MOST_NOTES = 8


class PlainConsole(Console):
    """One line for each thing that happens; while a stage runs, one at least every few seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._slot = ""
        self._shown = 0.0
        self._pace: Pace | None = None
        self._warnings: set[str] = set()
        self._lock = threading.RLock()
        self._ended = threading.Event()

    def started(self, slot: str, kind: str) -> None:
        self._slot, self._pace = slot, Pace()
        self.say(f"{slot} ({kind}) …")
        self._ended = threading.Event()
        threading.Thread(target=self._tell, args=(self._pace, self._ended), name="progress", daemon=True).start()

    def progress(self, label: str, done: float, total: float | None) -> None:
        with self._lock:
            if self._pace:
                self._pace.report(label, done, total)
                self._say_pace()

    def _tell(self, pace: Pace, ended: threading.Event) -> None:
        """Say how far the stage is, also while it reports nothing."""
        while not ended.wait(INTERVAL / 5):
            with self._lock:
                if self._pace is pace:
                    self._say_pace()

    def _say_pace(self) -> None:
        if self._pace and time.monotonic() - self._shown >= INTERVAL - INTERVAL / 5:
            self.say(f"{self._slot}: {self._pace.line()}")

    def warning(self, slot: str, message: str) -> None:
        if self._is_new(message):
            self.say(f"warning: {slot}: {message}")

    def _is_new(self, message: str) -> bool:
        """Say whether a warning was not shown yet: what holds for the data is told by each stage that reads them."""
        known = message in self._warnings
        self._warnings.add(message)
        return not known

    def finished(self, stage: Finished) -> None:
        self.close()
        self.say(summary(stage))

    def say(self, text: str) -> None:
        with self._lock:
            self._shown = time.monotonic()
            print(printable(text), file=self.stream, flush=True)

    def close(self) -> None:
        with self._lock:
            self._pace = None
            self._ended.set()


def summary(stage: Finished) -> str:
    """Put a finished stage into one line."""
    if stage.error and stage.error.startswith("KeyboardInterrupt"):
        return f"{stage.slot} interrupted after {stage.seconds:.1f} s"
    if stage.error:
        return f"{stage.slot} failed after {stage.seconds:.1f} s"
    how = "cached" if stage.cached else f"{stage.seconds:.1f} s"
    shown = [(name, value) for name, value in stage.notes.items() if value and _short(value)][:_MOST_NOTES]
    notes = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in shown)
    return f"{stage.slot} [{how}]{' ' + notes if notes else ''}"


def _short(value: object) -> bool:
    return isinstance(value, (int, float, str)) and len(str(value)) <= 60  # noqa: PLR2004  # fits a line


def _value(value: object) -> str:
    if isinstance(value, (bool, str)):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
