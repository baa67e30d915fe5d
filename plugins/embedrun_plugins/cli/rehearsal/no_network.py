"""Holding a process to this machine while it rehearses."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from embedrun.errors import StageError

_OFFLINE: Mapping[str, str] = {
    **dict.fromkeys(("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"), "1"),
    "AWS_EC2_METADATA_DISABLED": "true",
    "WANDB_MODE": "disabled",
    "CUDA_VISIBLE_DEVICES": "",
}
"""For libraries, and for the processes that stages start."""
_SOCKETS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMES = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})


class OutsideError(StageError):
    """A stage tried to reach another machine."""


class _Watch:
    """Refuses what would leave this machine while it is on."""

    def __init__(self) -> None:
        self.on = 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        host: Any = None
        if event in _SOCKETS:
            address = arguments[1]
            host = address[0] if isinstance(address, tuple) else None  # a path, where it is a socket of this machine
        elif event in _NAMES:
            host = arguments[0]
        if isinstance(host, (str, bytes)) and not _is_here(host):
            name = host if isinstance(host, str) else host.decode("ascii", "replace")
            raise OutsideError(
                f"tried to reach {name}, but a rehearsal touches nothing outside this machine; the stage should say in "
                "its method `rehearsal` what to run instead"
            )


@cache
def _watch() -> _Watch:
    """Return the process's watch: an audit hook cannot be taken away again, only told to let everything pass."""
    watch = _Watch()
    sys.addaudithook(watch)
    return watch


@contextmanager
def quiet() -> Iterator[None]:
    """Let nothing in this process reach another machine, until the end; whoever tries meets OutsideError."""
    watch = _watch()
    before = {name: os.environ.get(name) for name in _OFFLINE}
    os.environ.update(_OFFLINE)
    watch.on += 1
    try:
        yield
    finally:
        watch.on -= 1
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_here(host: str | bytes) -> bool:
    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name in ("", "localhost") or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name.split("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
