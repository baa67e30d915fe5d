"""Where the first machine of a job hands out training to the others, and tells them how the job ended.

Plain HTTP between the containers of one job, which SageMaker keeps to themselves; machines that are none of the job's
are refused. `EnableInterContainerTrafficEncryption` encrypts it, as it does what the training processes exchange.
"""

from __future__ import annotations

import io
import json
import socket
import tarfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.services.distributed.nodes import handed_out

WHOLE = ".whole"
"""Last in the archive of a job's folder, so that one that broke off is noticed."""
_HELD = 10.0
"""Seconds that a question without an answer yet is held."""
_GOODBYE = 20.0
"""Seconds in which the others can hear how the job ended."""


@dataclass
class RendezvousServer:
    """What the first machine knows of the others."""

    outbox: Path
    others: frozenset[str]
    """Names of the other machines."""
    failures: list[str] = field(default_factory=list)
    end: dict[str, Any] | None = None
    """How the job ended."""
    told: set[str] = field(default_factory=set)
    """The other machines that know."""

    def next(self, number: int, host: str) -> dict[str, Any]:
        """Return the job of a number or the end, as soon as there is either, or nothing after a while."""
        for _ in _held():
            if self.end is not None:
                self.told.add(host)
                return {"end": self.end}
            jobs = handed_out(self.outbox)
            if number < len(jobs):
                return {"job": jobs[number]["job"]}
        return {}

    def ended(self) -> dict[str, Any]:
        """Return the end alone, in the same way, to who need not know of it."""
        return next(({"end": self.end} for _ in _held() if self.end is not None), {})

    def close(self, code: int, reason: str) -> None:
        """Tell the others how the job ended, for as long as they have not all heard it."""
        self.end = {"code": code, "reason": reason}
        until = time.monotonic() + _GOODBYE
        while not self.others <= self.told and time.monotonic() < until:
            time.sleep(0.1)


def _held() -> Iterator[None]:
    until = time.monotonic() + _HELD
    while time.monotonic() < until:
        yield
        time.sleep(0.1)


class _Handler(BaseHTTPRequestHandler):
    desk: RendezvousServer
    addresses: frozenset[str]

    def do_GET(self) -> None:
        match self.path.strip("/").split("/"):
            case [*_] if self.client_address[0] not in self.addresses:
                self.send_error(403)
            case ["next", number, host] if number.isdecimal():
                self._answer(json.dumps(self.desk.next(int(number), host)).encode())
            case ["end"]:
                self._answer(json.dumps(self.desk.ended()).encode())
            case ["folder", number] if number.isdecimal() and int(number) < len(handed_out(self.desk.outbox)):
                self._archive(Path(handed_out(self.desk.outbox)[int(number)]["folder"]))
            case _:
                self.send_error(404)

    def do_POST(self) -> None:
        if self.client_address[0] not in self.addresses or self.path != "/failed":
            self.send_error(403)
            return
        reason = self.rfile.read(min(int(self.headers.get("content-length") or 0), 2**16))
        self.desk.failures.append(reason.decode("utf-8", "replace"))
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _archive(self, folder: Path) -> None:
        self.send_response(200)
        self.end_headers()
        with tarfile.open(fileobj=self.wfile, mode="w|", dereference=True) as archive:
            archive.add(folder, arcname=".")
            archive.addfile(tarfile.TarInfo(WHOLE), io.BytesIO())

    def log_message(self, *_: object) -> None:
        """Keep the job's log for the run."""


@contextmanager
def opened(outbox: Path, hosts: Iterable[str], first: str, port: int) -> Iterator[RendezvousServer]:
    """Answer the other machines while this is open. Raises UserError where the port is taken, or a name unknown."""
    outbox.mkdir(parents=True, exist_ok=True)
    desk = RendezvousServer(outbox, frozenset(hosts) - {first})
    try:
        addresses = frozenset(socket.gethostbyname(host) for host in hosts)
        handler = type("Handler", (_Handler,), {"desk": desk, "addresses": addresses})
        server = ThreadingHTTPServer((socket.gethostbyname(first), port), handler)
    except OSError as error:
        raise UserError(f"{first}:{port}: cannot listen there for the other machines: {error.strerror}") from error
    server.daemon_threads = True
    serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
    serving.start()
    try:
        yield desk
    finally:
        with suppress(OSError):
            server.shutdown()
            server.server_close()
