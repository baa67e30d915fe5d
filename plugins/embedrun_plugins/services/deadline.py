"""When an answer must be there as a whole: a client's own time-out starts anew with every byte."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

_END: ContextVar[float | None] = ContextVar("deadline", default=None)


def begin(seconds: float) -> None:
    """Say in how many seconds the answer to the request that this thread sends next must have been read."""
    _END.set(time.monotonic() + seconds)


def enforce(client: httpx2.Client) -> None:
    """Let whatever a client sends and reads, headers and body, raise a time-out where it goes on for longer."""
    # The client has no public way to choose its connections' streams that keeps the proxies of the environment.
    for transport in (client._transport, *client._mounts.values()):  # noqa: SLF001
        if pool := getattr(transport, "_pool", None):
            pool._network_backend = _TimedBackend(pool._network_backend)  # noqa: SLF001


def _left(timeout: float | None, kind: str) -> float | None:
    """Return how long one step may take. Raises httpcore's time-out where nothing is left."""
    import httpcore2

    end = _END.get()
    if end is None:
        return timeout
    left = end - time.monotonic()
    if left <= 0:
        raise getattr(httpcore2, f"{kind}Timeout")("the answer does not end")
    return left if timeout is None else min(timeout, left)


class _TimedBackend:
    """Opens connections whose every step ends in time."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend

    def connect_tcp(self, *args: Any, timeout: float | None = None, **options: Any) -> _TimedStream:
        return _TimedStream(self._backend.connect_tcp(*args, timeout=_left(timeout, "Connect"), **options))

    def connect_unix_socket(self, *args: Any, timeout: float | None = None, **options: Any) -> _TimedStream:
        return _TimedStream(self._backend.connect_unix_socket(*args, timeout=_left(timeout, "Connect"), **options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _TimedStream:
    """A connection whose every step ends in time."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(timeout, "Read"))  # type: ignore[no-any-return]

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(timeout, "Write"))

    def start_tls(self, *args: Any, timeout: float | None = None, **options: Any) -> _TimedStream:
        return _TimedStream(self._stream.start_tls(*args, timeout=_left(timeout, "Connect"), **options))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def close(self) -> None:
        self._stream.close()
