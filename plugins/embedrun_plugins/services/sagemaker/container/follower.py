"""A machine that is not the job's first: it waits for training, takes part in it, and ends as the first one does."""

from __future__ import annotations

import http.client
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.errors import EmbedrunError, StageError
from embedrun_plugins.services.distributed.launch import Launch, Start
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.services.sagemaker.container.archives import unpack_stream
from embedrun_plugins.services.sagemaker.container.contract import bug
from embedrun_plugins.services.sagemaker.container.rendezvous import WHOLE

_PATIENCE = 1800.0
"""Seconds that the first machine has to come up: it may load its channels longer than this one."""
_SILENCE = 60.0
"""Seconds without an answer after which the first machine is gone."""
_GRACE = 30.0
"""Seconds that training here has to end by itself when the job has ended."""


@dataclass(frozen=True)
class Leader:
    """The job's first machine, asked over HTTP."""

    address: str
    port: int
    me: str

    def next(self, number: int, patience: float) -> dict[str, Any]:
        """Ask for the job of a number; an empty answer means not yet.

        Raises StageError where the first machine gives no answer for so many seconds.
        """
        return self._told(f"/next/{number}/{self.me}", patience)

    def has_ended(self, patience: float) -> bool:
        """Ask whether the job has ended, without counting as a machine that knows. Raises as `next` does."""
        return "end" in self._told("/end", patience)

    def _told(self, path: str, patience: float) -> dict[str, Any]:
        until = time.monotonic() + patience
        while True:
            try:
                with self._asked("GET", path) as answer:
                    return dict(json.loads(answer.read()))
            except (OSError, http.client.HTTPException, ValueError) as error:
                if time.monotonic() > until:
                    raise StageError(
                        f"{self.address}:{self.port}: the first machine does not answer: {error}"
                    ) from error
            time.sleep(0.5)

    def fetch(self, number: int, folder: Path) -> None:
        """Copy a job's folder here. Raises StageError where it does not arrive whole."""
        folder.mkdir(parents=True)
        try:
            with self._asked("GET", f"/folder/{number}") as answer:
                unpack_stream(answer, folder)
        except (OSError, http.client.HTTPException, tarfile.TarError) as error:
            raise StageError(f"{self.address}: the training data cannot be fetched: {error}") from error
        if not (folder / WHOLE).exists():
            raise StageError(f"{self.address}: the training data did not arrive complete")

    def failed(self, reason: str) -> None:
        """Say that training failed here."""
        with suppress(OSError, http.client.HTTPException), self._asked("POST", "/failed", body=reason.encode()):
            pass

    @contextmanager
    def _asked(self, method: str, path: str, *, body: bytes | None = None) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self.address, self.port, timeout=_SILENCE)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            if answer.status != http.client.OK:
                raise http.client.HTTPException(f"{answer.status} {answer.reason}")
            yield answer
        finally:
            connection.close()


@dataclass(frozen=True)
class Follower:
    """This machine, which helps the first one."""

    first: Leader
    nodes: Nodes
    scratch: Path
    network: Mapping[str, str]
    """Environment of the training processes."""

    def work(self) -> tuple[int, str]:
        """Take part in every training until the job ends; return its exit code, and why where it failed."""
        number, patience = 0, _PATIENCE
        while True:
            message = self.first.next(number, patience)
            patience = _SILENCE
            if "end" in message:
                return message["end"]["code"], message["end"]["reason"]
            if "job" in message:
                self._train(number, Start(**message["job"]))
                number += 1

    def _train(self, number: int, start: Start) -> None:
        folder = self.scratch / str(number)
        try:
            self.first.fetch(number, folder)
            # Where it is interrupted, the first machine knows why, and tells.
            with suppress(KeyboardInterrupt), self._watched():
                Launch(folder, start, folder / "training.log", self.nodes, self.network).run(lambda *_: None)
        except EmbedrunError as error:
            self.first.failed(f"{self.first.me}: {error}")
        except Exception as error:
            self.first.failed(f"{self.first.me}: {bug(error)}")
            raise

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Interrupt what goes on when the job has ended without it: its processes may wait for ever for the others."""
        over = threading.Event()

        def watch() -> None:
            with suppress(StageError):
                while not over.is_set() and not self.first.has_ended(_SILENCE):
                    over.wait(1)
            if not over.wait(_GRACE):
                os.kill(os.getpid(), signal.SIGINT)

        watching = threading.Thread(target=watch, daemon=True)
        watching.start()
        try:
            yield
        finally:
            over.set()
