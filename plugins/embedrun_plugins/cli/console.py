"""What a run shows: a bar per stage on a terminal, plain lines elsewhere; tables at its end."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from embedrun.console import Console
from embedrun.errors import printable
from embedrun.finished import Finished
from embedrun_plugins.services.plain_console import PlainConsole, summary


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
            self.bars.update(
                self._task, description=printable(f"{self._slot}: {label}"), completed=int(done), total=total
            )

    def finished(self, stage: Finished) -> None:
        self._remove_bar()
        mark, colour = ("✗", "red") if stage.error else ("✓", "dim" if stage.cached else "green")
        self.terminal.print(f"[{colour}]{mark}[/] ", end="")
        self.say(summary(stage))

    def say(self, text: str) -> None:
        self.terminal.print(printable(text), markup=False, soft_wrap=True)

    def warning(self, slot: str, message: str) -> None:
        if self._is_new(message):
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
