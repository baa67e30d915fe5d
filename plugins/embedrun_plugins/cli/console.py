"""What a run shows: a bar per stage on a terminal, plain lines elsewhere; tables at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from embedrun.console import Console
from embedrun.errors import printable
from embedrun.finished import Finished
from embedrun_plugins.services.pace import Pace
from embedrun_plugins.services.plain_console import PlainConsole, summary


class RichConsole(PlainConsole):
    """A bar for the running stage, replaced by one line when it ends."""

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__(stream)
        from rich.console import Console as Terminal
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self.terminal = Terminal(file=self.stream, highlight=False)
        self.bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeElapsedColumn(),
            console=self.terminal,
            transient=True,
        )
        self._task: Any = None

    def started(self, slot: str, kind: str) -> None:
        self._slot, self._pace = slot, Pace()
        self.bars.start()
        self._task = self.bars.add_task(f"{slot} ({kind})", total=None, speed="")

    def progress(self, label: str, done: float, total: float | None) -> None:
        if self._task is not None and self._pace:
            self._pace.report(label, done, total)
            description, speed = printable(f"{self._slot}: {label}"), ", ".join(self._pace.speed())
            self.bars.update(self._task, description=description, completed=int(done), total=total, speed=speed)

    def finished(self, stage: Finished) -> None:
        self.close()
        mark, colour = ("✗", "red") if stage.error else ("✓", "dim" if stage.cached else "green")
        self._print(mark, colour, f" {summary(stage)}")

    def say(self, text: str) -> None:
        self._print("", "", text)

    def warning(self, slot: str, message: str) -> None:
        if self._is_new(message):
            self._print("warning:", "yellow", f" {slot}: {message}")

    def _print(self, mark: str, colour: str, text: str) -> None:
        """Print one line at once, so that a bar that is drawn meanwhile does not tear it."""
        from rich.text import Text

        self.terminal.print(Text.assemble((mark, colour), printable(text)), soft_wrap=True)

    def close(self) -> None:
        self._pace = None
        if self._task is not None:
            self.bars.remove_task(self._task)
            self.bars.stop()
            self._task = None


def console() -> Console:
    """Return the console that suits standard error; FORCE_COLOR says that a terminal is at the end of a pipe."""
    return RichConsole() if sys.stderr.isatty() or os.environ.get("FORCE_COLOR") else PlainConsole()


def say(text: str, *, stream: TextIO | None = None) -> None:
    """Print what may hold words of a data file or a record, on standard output or elsewhere."""
    print(printable(text), file=stream, flush=True)


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
