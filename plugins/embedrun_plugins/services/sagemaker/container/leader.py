"""The job's first machine: it watches over the run, helped by the others, and says how it ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from embedrun_plugins.services.distributed.parent_process import VARIABLE
from embedrun_plugins.services.sagemaker.container.rendezvous import RendezvousServer
from embedrun_plugins.services.sagemaker.container.run_recipe import OUTCOME, STOPPED

_GRACE = 105.0
"""Seconds after SIGTERM in which the run must have ended; SageMaker kills the container after 120."""
_INTERVAL = 0.2


@dataclass
class Run:
    """The run's process, and whether it was asked to stop."""

    prefix: Path
    scratch: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    asked: float | None = None
    """When it was asked to stop."""

    def watch(self, desk: RendezvousServer | None = None) -> tuple[int, str]:
        """Run to the end; return the exit code, and why it failed, if it did."""
        words = ["-m", "embedrun_plugins.services.sagemaker.container.run_recipe", str(self.prefix), str(self.scratch)]
        environment = {**os.environ, **self.environment, VARIABLE: str(os.getpid())}
        with self._terminated(), subprocess.Popen([sys.executable, *words], env=environment) as process:  # noqa: S603 - our own words
            try:
                terminated = False
                while process.poll() is None:
                    if self.asked and not terminated:
                        terminated = True
                        process.terminate()
                    if (self.asked and time.monotonic() - self.asked > _GRACE) or (desk and desk.failures):
                        process.kill()
                    time.sleep(_INTERVAL)
            finally:
                process.kill()
        return self._ending(process.returncode, desk)

    @contextmanager
    def _terminated(self) -> Iterator[None]:
        """Note SIGTERM, by which SageMaker stops a job or takes a spot instance back."""

        def note(*_: object) -> None:
            self.asked = self.asked or time.monotonic()

        before = signal.signal(signal.SIGTERM, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _ending(self, code: int, desk: RendezvousServer | None) -> tuple[int, str]:
        outcome = self.scratch / OUTCOME
        reason = json.loads(outcome.read_text("utf-8"))["reason"] if outcome.exists() else ""
        if desk and desk.failures:
            return 1, desk.failures[0]
        if reason or code == 0:
            return (1 if reason else 0), reason
        if self.asked or code == STOPPED:
            return STOPPED, ""
        if code == -signal.SIGKILL:
            return 1, (
                "the run was killed, most likely because the instance's memory was full; "
                "lower trainer.batch_size, or choose a larger instance"
            )
        return 1, f"the run ended without an error message (exit code {code}); its log says more"
