"""How a container ended, as the engine's events tell, since one that removes itself cannot be asked afterwards."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from embedrun.errors import StageError
from embedrun_plugins.services.remote_run import AGAIN

_SECONDS = 30.0
"""How long an engine may take to tell of the end, and to remove what ended."""
_OOM_EXIT = 137
_SIGNALS = {"9": "SIGKILL", "15": "SIGTERM", "2": "SIGINT"}


@dataclass(frozen=True)
class ContainerExit:
    """How a container ended."""

    code: int
    out_of_memory: bool
    signals: tuple[str, ...]
    """Signals that someone sent to it through the engine, in this order."""

    @property
    def killed(self) -> bool:
        """Whether it was ended from outside."""
        return bool(self.signals) and self.code != 0


class Watch:
    """Collects a container's events from before it starts. Use it as a context."""

    def __init__(self, client: Any, container_id: str) -> None:
        self._client, self._id = client, container_id
        self._events: list[Mapping[str, Any]] = []
        self._over = threading.Event()
        """Set when the container is gone, or the engine."""
        self._broken = ""
        """Why the engine tells no more."""
        self._since = int(time.time()) - 1
        self._stream: Any = None

    def __enter__(self) -> Self:
        filters = {"type": "container", "container": [self._id]}
        self._stream = self._client.api.events(since=self._since, filters=filters, decode=True)
        threading.Thread(target=self._collect, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for close in (self._stream.close, self._stream._response.close):  # noqa: SLF001  # it leaves that one open
            with contextlib.suppress(Exception):  # closing a stream whose engine is gone fails in many ways
                close()

    def _collect(self) -> None:
        try:
            for event in self._stream:
                self._events.append(event)
                if event.get("Action") == "destroy":
                    break
        except Exception as error:  # noqa: BLE001  # the stream breaks with the engine in many ways; see `ending`
            self._broken = f" ({type(error).__name__}: {error})"
        self._over.set()

    def ending(self) -> ContainerExit:
        """Wait until the container is gone, and say how it ended.

        Raises StageError where the engine stopped answering before it told.
        """
        self._over.wait(_SECONDS)
        deaths = [event for event in self._events if event.get("Action") == "die"]
        if not deaths:
            raise StageError(
                f"runtime: the engine stopped, or stopped answering, while the run was under way{self._broken}, and "
                f"the container ends with it; start the engine, and {AGAIN}"
            )
        code = int(deaths[-1]["Actor"]["Attributes"].get("exitCode", 1))
        signals = [str(e["Actor"]["Attributes"].get("signal", "")) for e in self._events if e.get("Action") == "kill"]
        out_of_memory = code == _OOM_EXIT and any(event.get("Action") == "oom" for event in self._events)
        return ContainerExit(code, out_of_memory, tuple(_SIGNALS.get(number, f"signal {number}") for number in signals))
