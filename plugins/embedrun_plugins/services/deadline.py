"""When an answer must be there as a whole: a client's own time-out starts anew with every byte."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

_NAME = "embedrun_deadline"


def begin(request: httpx2.Request, seconds: float) -> None:
    """Say in how many seconds a request's answer must have been read."""
    request.extensions[_NAME] = time.monotonic() + seconds


def enforce(response: httpx2.Response) -> None:
    """Let an answer's stream raise ReadTimeout where it goes on for longer than `begin` said."""
    response.stream = _timed(response.stream, response.request.extensions[_NAME])


def _timed(stream: Any, end: float) -> httpx2.SyncByteStream:
    import httpx2

    class _Timed(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            for part in stream:
                if time.monotonic() > end:
                    raise httpx2.ReadTimeout("the answer does not end")
                yield part

        def close(self) -> None:
            stream.close()

    return _Timed()
