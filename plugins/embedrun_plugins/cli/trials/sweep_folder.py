"""The folder of a sweep, beside the runs of its recipe: what is tried, how long it took so far, and who is at it."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from embedrun import plain_files
from embedrun.errors import UserError
from embedrun.plain_files import explained

_FACTS = "sweep.json"
_BEAT = 2.0
"""Seconds between two notes of how long a session has taken: what a kill may hide from the budget."""


@dataclass
class SweepFolder:
    """RUNS/NAME/sweep-N: `sweep.json`, Optuna's journal, a folder of runs for each trial, `report.html`."""

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def find(cls, runs: Path, name: str, identity: str) -> SweepFolder | None:
        """Return the folder of a sweep that was begun, if it was."""
        for path in _folders(runs / name):
            folder = cls(path).read()
            if folder and folder.facts.get("identity") == identity:
                return folder
        return None

    @classmethod
    def begin(cls, runs: Path, name: str, identity: str, described: Mapping[str, str]) -> SweepFolder:
        """Return a sweep's folder, a new one where it was not begun yet."""
        if folder := cls.find(runs, name, identity):
            return folder
        with explained(f"runs {runs}", "--runs"):
            (runs / name).mkdir(parents=True, exist_ok=True)
            for number in range(1, 10_000):
                path = runs / name / f"sweep-{number}"
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    folder = cls(path)
                    folder.change(identity=identity, tries=dict(described), sessions=[])
                    return folder
        raise UserError(f"{runs / name}: has too many sweeps; remove some")

    def read(self) -> SweepFolder | None:
        """Read what is known of the sweep; None where it has just been begun. Raises UserError where it is damaged."""
        file = self.path / _FACTS
        try:
            facts = json.loads(plain_files.read_text(file))
            sum(end - start for start, end in facts["sessions"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{file}: is damaged ({error}); remove the sweep's folder") from error
        self.facts = facts
        return self

    def change(self, **facts: Any) -> None:
        self.facts.update(facts)
        with explained(f"sweep {self.path}", "--runs"):
            plain_files.write_json(self.path / _FACTS, self.facts)

    @property
    def spent(self) -> float:
        """Seconds that all sessions of the sweep took together."""
        return float(sum(end - start for start, end in self.facts["sessions"]))

    @property
    def journal(self) -> Path:
        return self.path / "study.journal"

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Hold the sweep for this process. Raises UserError where another one is at it."""
        from filelock import FileLock, Timeout

        with explained(f"sweep {self.path}", "--runs"):
            lock = FileLock(self.path / "sweep.lock")
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise UserError(f"{self.path}: another process is carrying out this sweep; wait for it") from None
        try:
            self.read()
            now = time.time()
            self.change(sessions=[*self.facts["sessions"], [now, now]])
            yield
        finally:
            self.beat(at_once=True)
            lock.release()

    def beat(self, *, at_once: bool = False) -> None:
        """Note that the session goes on."""
        *earlier, (start, end) = self.facts["sessions"]
        if at_once or time.time() - end >= _BEAT:
            self.change(sessions=[*earlier, [start, max(end, time.time())]])


def _folders(runs: Path) -> list[Path]:
    folders = [path for path in runs.glob("sweep-*") if path.name[6:].isdecimal()]
    return sorted(folders, key=lambda path: int(path.name[6:]))
