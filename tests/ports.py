"""Ports for what has to be told one: below those that the kernel hands out, apart for each process of the tests."""

from __future__ import annotations

import contextlib
import itertools
import os
import socket

FIRST = 20_000
EACH = 1_000
"""How many a process has."""
_turns = itertools.count(os.getpid())


def free(count: int = 1) -> int:
    """Return a free port, after which as many as are asked for in all are free, too."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw"))
    while True:
        port = FIRST + EACH * (worker % 10) + count * (next(_turns) % (EACH // count))
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            for number in range(port, port + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", number))
            return port
