"""How fast a stage gets on, and how long it will take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from embedrun_plugins.results.phrases import duration


@dataclass
class Pace:
    """The progress of one stage, as it was reported last."""

    label: str = ""
    done: float = 0.0
    total: float | None = None
    _task: str = ""
    _start: tuple[float, float] = (0.0, 0.0)
    """When the task was first reported on, and how much of it was done then."""
    _begun: float = field(default_factory=time.monotonic)

    def report(self, label: str, done: float, total: float | None) -> None:
        """Take what a stage reports. What stands before the label's first comma is what is counted."""
        task = label.partition(",")[0]
        if task != self._task or done < self.done:
            self._task, self._start = task, (time.monotonic(), done)
        self.label, self.done, self.total = label, done, total

    def rate(self) -> float:
        """Return how much is done in a second; 0 where that is not known."""
        since, before = self._start
        seconds = time.monotonic() - since
        return (self.done - before) / seconds if self._task and seconds > 0 else 0.0

    def line(self) -> str:
        """Put it into words: "encode queries 96 of 3,633, 3.1/s, 19 min left"."""
        if not self.label:
            return f"still running after {duration(time.monotonic() - self._begun)}"
        parts = [f"{self.label} {amount(self.done, self.total)}", *self.speed()]
        return ", ".join(parts)

    def speed(self) -> list[str]:
        """Return the rate and the time left, as far as they are known."""
        rate = self.rate()
        if not rate:
            return []
        parts = [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s"]  # noqa: PLR2004 # two digits of it
        if self.total and self.total > self.done:
            parts.append(f"{duration((self.total - self.done) / rate)} left")
        return parts


def amount(done: float, total: float | None) -> str:
    return f"{done:,.0f} of {total:,.0f}" if total else f"{done:,.0f}"
