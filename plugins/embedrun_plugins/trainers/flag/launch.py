"""FlagEmbedding's processes, started by torchrun, listened to, and ended with this one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.errors import StageError
from embedrun_plugins.trainers.flag.parent import VARIABLE
from embedrun_plugins.trainers.flag.telling import told

_GRACE = 10
"""Seconds that the processes have to end when they are asked to."""
_SHOWN = 8
"""Lines of the log in a message."""
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OUT_OF_MEMORY = ("OutOfMemoryError", "CUDA out of memory", "can't allocate memory", "exitcode  : -9")

OnEvent = Callable[[str, Mapping[str, Any]], None]
"""Told an event's name and its values."""


@dataclass(frozen=True)
class Launch:
    """A job to be run in so many processes on this machine."""

    job: Path
    """The file that says what to do; the log is written beside it."""
    processes: int
    offline: bool

    def run(self, on_event: OnEvent) -> None:
        """Run the job, passing on what it tells. Raises StageError where it fails."""
        log = self.job.parent / "flag_embedding.log"
        started = subprocess.Popen(  # noqa: S603 - no shell, our own words
            self._command(),
            cwd=self.job.parent,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        try:
            failures, last = _listen(started, log, on_event)
            code = started.wait()
        finally:
            _end(started)
        if code:
            raise _failure(failures, last, log)

    def _command(self) -> list[str]:
        torchrun = ["-m", "embedrun_plugins.trainers.flag.torchrun", "--standalone", "--local-addr=127.0.0.1"]
        worker = ["-m", "embedrun_plugins.trainers.flag.worker", str(self.job)]
        return [sys.executable, "-u", *torchrun, f"--nproc-per-node={self.processes}", *worker]

    def _environment(self) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in _OF_TORCHRUN}
        own[VARIABLE] = str(os.getpid())
        own.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // self.processes)))
        own.setdefault("TOKENIZERS_PARALLELISM", "true" if self.processes == 1 else "false")
        return own | ({"HF_HUB_OFFLINE": "1"} if self.offline else {})


def _listen(started: subprocess.Popen[str], log: Path, on_event: OnEvent) -> tuple[list[str], list[str]]:
    """Pass on what is told until the end, and keep the rest; return the errors and the log's last lines."""
    failures: list[str] = []
    last: deque[str] = deque(maxlen=_SHOWN)
    with log.open("a", encoding="utf-8") as kept:
        for line in started.stdout or ():
            event = told(line)
            if event is None:
                if line.strip():
                    kept.write(line)
                    kept.flush()
                    last.append(line.rstrip())
            elif event["event"] == "error":
                failures.append(f"{event['type']}: {event['message']}")
            else:
                on_event(event.pop("event"), event)
    return failures, list(last)


def _end(started: subprocess.Popen[str]) -> None:
    """End torchrun, which ends its own; those end by themselves where it had to be killed."""
    if started.poll() is None:
        started.send_signal(signal.SIGTERM)
        try:
            started.wait(_GRACE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
    if started.stdout:
        started.stdout.close()


def _failure(failures: list[str], last: list[str], log: Path) -> StageError:
    found = "\n".join([*failures, *last])
    if any(sign in found for sign in _OUT_OF_MEMORY):
        return StageError(
            "FlagEmbedding ran out of memory, or was killed; lower trainer.batch_size, the lengths or "
            f"train_group_size, or set trainer.gradient_checkpointing (its log: {log})"
        )
    reason = failures[0] if failures else "\n  ".join(["it ended before it was done; its last words:", *last])
    return StageError(f"FlagEmbedding failed: {reason} (its log: {log})")
