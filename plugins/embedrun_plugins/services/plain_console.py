"""A run as lines of text: one for each thing that happens."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from embedrun.console import Console
from embedrun.errors import printable
from embedrun.finished import Finished

_INTERVAL = 10.0
"""Seconds between two lines of progress."""
_MOST_NOTES = 8


class PlainConsole(Console):
    """One line for each thing that happens; progress at most every ten seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._slot = ""
        self._shown = 0.0
        self._warnings: set[str] = set()

    def started(self, slot: str, kind: str) -> None:
        self._slot, self._shown = slot, time.monotonic()
        self.say(f"{slot} ({kind}) …")

    def progress(self, label: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        if now - self._shown >= _INTERVAL:
            self._shown = now
            self.say(f"{self._slot}: {label} {_amount(done, total)}")

    def warning(self, slot: str, message: str) -> None:
        if self._is_new(message):
            self.say(f"warning: {slot}: {message}")

    def _is_new(self, message: str) -> bool:
        """Say whether a warning was not shown yet: what holds for the data is told by each stage that reads them."""
        known = message in self._warnings
        self._warnings.add(message)
        return not known

    def finished(self, stage: Finished) -> None:
        self.say(summary(stage))

    def say(self, text: str) -> None:
        print(printable(text), file=self.stream, flush=True)


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


def _amount(done: float, total: float | None) -> str:
    return f"{done:,.0f} of {total:,.0f}" if total else f"{done:,.0f}"
