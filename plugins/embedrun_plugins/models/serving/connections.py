"""Connections that hold up nobody else: those that send nothing are ended, and make room for those that do."""

from __future__ import annotations

import asyncio
import resource

import psutil  # type: ignore[import-untyped] # its stubs are a package of their own
from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 30.0
"""How long a connection may take to send a request's head."""
_SPARE_FILES = 64
"""Files that stay free beside the connections, for those that are accepted before the oldest are closed too."""
_MOST_FILES = 65_536


class Connection(H11Protocol):
    """A connection that must send a request in time."""

    most = _MOST_FILES
    """Connections at a time."""
    since = 0.0
    """When it began to wait for a request."""
    _deadline: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether no request of it is in hand."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's is
        super().connection_made(transport)
        self._expect_request()
        if len(self.connections) > self.most:
            others = [other for other in self.connections if isinstance(other, Connection)]
            idle = [other for other in others if other.waits and not other.transport.is_closing()]
            min(idle, key=lambda other: other.since).transport.close()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.waits:
            self._stop_expecting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.waits and not self.transport.is_closing():
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_expecting()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        self._stop_expecting()
        self.since = self.loop.time()
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._end)

    def _stop_expecting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()

    def _end(self) -> None:
        if self.waits:
            self.transport.close()


def use_all_files() -> int:
    """Allow this process as many open files as it may have; return how many of them connections can take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    open_files = int(psutil.Process().num_fds())
    return max(16, wanted - open_files - _SPARE_FILES)
