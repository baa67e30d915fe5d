"""What a run shows: a bar per stage on a terminal, plain lines elsewhere; tables at its end."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from embedrun.console import Console
from embedrun.record import Finished

_PLAIN_INTERVAL = 10.0
_MOST_NOTES = 8


class PlainConsole(Console):
    """One line for each thing that happens; progress at most every ten seconds."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self._slot = ""
        self._shown = 0.0

    def started(self, slot: str, kind: str) -> None:
        self._slot, self._shown = slot, time.monotonic()
        self.say(f"{slot} ({kind}) …")

    def progress(self, label: str, done: float, total: float | None) -> None:
        now = time.monotonic()
        if now - self._shown >= _PLAIN_INTERVAL:
            self._shown = now
            self.say(f"{self._slot}: {label} {_amount(done, total)}")

    def warning(self, slot: str, message: str) -> None:
        self.say(f"warning: {slot}: {message}")

    def finished(self, stage: Finished) -> None:
        self.say(summary(stage))

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


class RichConsole(PlainConsole):
    """A bar for the running stage, replaced by one line when it ends."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        from rich.console import Console as Terminal
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            SpinnerColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        self.terminal = Terminal(file=self.stream, highlight=False)
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.terminal,
            transient=True,
        )
        self._task: Any = None

    def started(self, slot: str, kind: str) -> None:
        self._slot = slot
        self.bars.start()
        self._task = self.bars.add_task(f"{slot} ({kind})", total=None)

    def progress(self, label: str, done: float, total: float | None) -> None:
        if self._task is not None:
            self.bars.update(self._task, description=f"{self._slot}: {label}", completed=int(done), total=total)

    def finished(self, stage: Finished) -> None:
        self._remove_bar()
        mark, colour = ("✗", "red") if stage.error else ("✓", "dim" if stage.cached else "green")
        self.terminal.print(f"[{colour}]{mark}[/] ", end="")
        self.say(summary(stage))

    def say(self, text: str) -> None:
        self.terminal.print(text, markup=False, soft_wrap=True)

    def warning(self, slot: str, message: str) -> None:
        self.terminal.print("[yellow]warning:[/] ", end="")
        self.say(f"{slot}: {message}")

    def _remove_bar(self) -> None:
        if self._task is not None:
            self.bars.remove_task(self._task)
            self.bars.stop()
            self._task = None

    def close(self) -> None:
        self._remove_bar()


def console() -> Console:
    """Return the console that suits standard error; FORCE_COLOR says that a terminal is at the end of a pipe."""
    return RichConsole() if sys.stderr.isatty() or os.environ.get("FORCE_COLOR") else PlainConsole()


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


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, left: bool = False) -> str:
    """Lay out a table as plain text: figures to the right of a first column, or all `left`."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if left or index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
