"""A process that outlives the one that started it, and that is found again without mistaking another for it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import psutil  # type: ignore[import-untyped] # its stubs are a package of their own

STOP_SECONDS = 40
CLOCK_SECONDS = 2.0
"""How far apart two readings of one start time may be: they count from a clock that may be set in between."""


@dataclass(frozen=True)
class Process:
    """A process by its id and start time, since ids are used again."""

    pid: int
    started: float
    """Seconds since 1970."""

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
        """Start a command in a session of its own, its output in a file."""
        pid = os.posix_spawn(
            command[0],
            list(command),
            environment,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
        return cls(pid, psutil.Process(pid).create_time())

    def is_running(self) -> bool:
        return self._find() is not None

    def stop(self) -> None:
        """End it, letting it finish first what it does; succeed quietly where it is gone already."""
        process = self._find()
        if process is None:
            return
        try:
            process.terminate()
            process.wait(STOP_SECONDS)
        except psutil.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)
        except psutil.NoSuchProcess:
            return

    def _find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < CLOCK_SECONDS
            if not same or process.status() != psutil.STATUS_ZOMBIE:
                return process if same else None
            os.waitpid(self.pid, 0)  # it has ended, and only its parent can let go of its number
        except (psutil.NoSuchProcess, ChildProcessError):
            return None
        return None


def serving_on(port: int) -> bool:
    """Say whether a server that this deployer started was given a port."""
    wanted = ("-m", "embedrun_plugins.models.serving"), ("--port", str(port))
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if all(pair in pairwise(words) for pair in wanted):
            return True
    return False
