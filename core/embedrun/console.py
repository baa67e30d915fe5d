"""Where a run reports to."""

from __future__ import annotations

from embedrun.finished import Finished


class Console:
    """What the engine calls as it goes; this one shows nothing, for `embedrun.run` in a program."""

    def started(self, slot: str, kind: str) -> None: ...

    def progress(self, label: str, done: float, total: float | None) -> None: ...

    def warning(self, slot: str, message: str) -> None: ...

    def finished(self, stage: Finished) -> None: ...

    def say(self, text: str) -> None: ...

    def close(self) -> None: ...
