"""A trial's process, as the sweep sees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from embedrun.errors import UserError
from embedrun.record import RunRecord
from embedrun_plugins.cli.trials.trial_process import PRUNED, TrialTask
from embedrun_plugins.results import roles
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.distributed.parent_process import VARIABLE

_GRACE = 60.0
"""Seconds that a trial has to write a checkpoint before it is killed."""


@dataclass(frozen=True)
class TrialOutcome:
    """How a trial ended."""

    state: str
    """done, pruned, failed or interrupted."""
    value: float | None = None
    """Its headline metric on dev, on average over its seeds."""
    metric: str = ""
    run: Path | None = None
    reason: str = ""


@dataclass
class RunningTrial:
    """A process that carries out a trial, and what it prints."""

    task: TrialTask
    say: Callable[[str], None]
    environment: Mapping[str, str] = field(default_factory=dict)
    slot: int = 0
    """Which of the devices it has."""
    stopped: bool = False

    def __post_init__(self) -> None:
        self.last: deque[str] = deque(maxlen=20)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-m", "embedrun_plugins.cli.trials.trial_process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **self.environment, VARIABLE: str(os.getpid())},
            text=True,
            errors="replace",
            start_new_session=True,  # what the user types ends the sweep, which ends its trials
        )
        if self.process.stdin:
            self.process.stdin.write(self.task.written())
            self.process.stdin.close()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            if line.strip():
                self.last.append(line.rstrip())
                self.say(f"trial {self.task.number}: {line.rstrip()}")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    def ended(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        """Ask the process to end with a checkpoint."""
        self.stopped = True
        if not self.ended():
            self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """Wait for a process that was asked to end; kill it where it does not."""
        try:
            self.process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        if not self.ended():
            self.process.kill()
        self.process.wait()

    def outcome(self) -> TrialOutcome:
        """Say how the process ended, from the record that it left."""
        code = self.process.wait()
        self.reader.join()
        if self.process.stdout:
            self.process.stdout.close()
        try:
            folder = find_run(self.task.name, Path(self.task.folder))
            record = RunRecord.read(folder)
        except UserError:
            return self._failed(code, None)
        if code == 0 and record.status == "done":
            name = f"{record.recipe['evaluator'][0]['type']}.2"
            scores, metric = record.scores[name], record.headlines[name][0]
            values = [scores[role][metric] for role in roles.of_seeds(scores, roles.last(scores))]
            return TrialOutcome("done", sum(values) / len(values), metric, folder)
        if record.status == "interrupted" and (record.error or "").startswith(PRUNED):
            return TrialOutcome("pruned", run=folder, reason=str(record.error))
        return self._failed(code, folder)

    def _failed(self, code: int, folder: Path | None) -> TrialOutcome:
        if self.stopped:
            return TrialOutcome("interrupted", run=folder)
        reason = self.last[-1].strip() if self.last and code > 0 else f"its process ended with {code}"
        return TrialOutcome("failed", run=folder, reason=reason)
