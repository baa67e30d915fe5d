"""Training processes, started by torchrun, listened to, and ended with this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.models.cores import shared_threads
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.services.distributed.parent_process import VARIABLE, read_event
from embedrun_plugins.services.distributed.signals import until_terminated

STOP = "stop"
"""File beside a job, whose being there asks its processes to end with a checkpoint."""
_GRACE = 10
"""Seconds that the processes have to end when they are asked to."""
_SHOWN = 8
"""Lines of the log in a message."""
_OF_TORCHRUN = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OUT_OF_MEMORY = ("OutOfMemoryError", "CUDA out of memory", "can't allocate memory", "exitcode  : -9")

OnEvent = Callable[[str, Mapping[str, Any]], None]
"""Told an event's name and its values."""


@dataclass(frozen=True)
class JobFile:
    """What the processes of a training are told, in a file of the folder that they run in."""

    def write(self, file: Path) -> None:
        file.write_text(json.dumps(asdict(self), indent=1), "utf-8")

    @classmethod
    def read(cls, file: Path) -> Self:
        return cls(**json.loads(file.read_text("utf-8")))


@dataclass(frozen=True)
class Start:
    """What is started in each process, and how many processes there are on each machine."""

    worker: str
    """Module that is run with the job's file as its argument, in the job's folder."""
    job: str
    """Name of that file."""
    processes: int
    who: str
    """Who trains, in messages."""
    offline: bool = False


@dataclass
class _Heard:
    """What the processes said before they ended."""

    failures: list[dict[str, Any]] = field(default_factory=list)
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_SHOWN))
    stopped: bool = False


@dataclass(frozen=True)
class Launch:
    """A job's folder, to be worked on by the processes of this machine, together with those of others."""

    folder: Path
    """Holds all that the processes read, by paths relative to it, so that it can be handed to other machines."""
    start: Start
    log: Path
    nodes: Nodes = field(default_factory=Nodes.here)
    environment: Mapping[str, str] = field(default_factory=dict)
    """What the processes find there beside this one's own."""

    def run(self, on_event: OnEvent) -> None:
        """Run the job, passing on its events.

        Raises StageError where any of them fails, else KeyboardInterrupt where SIGTERM ended it with a checkpoint.
        """
        self.nodes.hand_out(self.folder, asdict(self.start))
        with until_terminated((self.folder / STOP).touch):
            started = subprocess.Popen(  # noqa: S603 - no shell, our own words
                self._command(),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            try:
                heard = self._listen(started, on_event)
                code = started.wait()
            finally:
                _end(started)
            if heard.stopped and not heard.failures:
                raise KeyboardInterrupt
            if code or heard.failures:
                raise failure(heard.failures, list(heard.last), self.log, self.start.who)

    def _command(self) -> list[str]:
        torchrun = ["-m", "embedrun_plugins.services.distributed", *self.nodes.arguments()]
        return [
            *(sys.executable, "-u", *torchrun, f"--nproc-per-node={self.start.processes}"),
            *("-m", self.start.worker, str(self.folder / self.start.job)),
        ]

    def _environment(self) -> dict[str, str]:
        variables = {name: value for name, value in os.environ.items() if name not in _OF_TORCHRUN}
        variables |= {**self.environment, VARIABLE: str(os.getpid())}
        shared_threads(variables, self.start.processes)
        variables.setdefault("TOKENIZERS_PARALLELISM", "true" if self.start.processes == 1 else "false")
        return variables | ({"HF_HUB_OFFLINE": "1"} if self.start.offline else {})

    def _listen(self, started: subprocess.Popen[str], on_event: OnEvent) -> _Heard:
        """Pass on events until the end, and keep the rest in the log."""
        heard = _Heard()
        with self.log.open("a", encoding="utf-8") as log:
            for line in started.stdout or ():
                event = read_event(line)
                if event is None:
                    if line.strip():
                        log.write(line)
                        log.flush()
                        heard.last.append(line.rstrip())
                elif event["event"] == "error":
                    heard.failures.append(event)
                elif event["event"] == "stopped":
                    heard.stopped = True
                else:
                    on_event(event.pop("event"), event)
        return heard


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


def failure(failures: list[dict[str, Any]], last: list[str], log: Path, who: str) -> EmbedrunError:
    """Return the error that says why the processes ended: what one of them said, or the log's last words."""
    explained = next((event for event in failures if event.get("explained")), None)
    if explained:
        return (UserError if explained.get("user") else StageError)(explained["message"])
    reasons = [f"{event['type']}: {event['message']}" for event in failures]
    if any(sign in "\n".join([*reasons, *last]) for sign in _OUT_OF_MEMORY):
        return StageError(
            f"{who} ran out of memory, or was killed; lower trainer.batch_size or the lengths, or set "
            f"trainer.gradient_checkpointing (its log: {log})"
        )
    reason = reasons[0] if reasons else "\n  ".join(["it ended before it was done; its last output:", *last])
    return StageError(f"{who} failed: {reason} (its log: {log})")
