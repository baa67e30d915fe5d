"""A loopback server that stands in for outside services; routes are added by fake_llm.py and fake_embedders.py."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import unquote

Reply = tuple[int, dict[str, str], bytes]
"""Status, headers and body."""
Route = Callable[[re.Match[str], dict[str, Any]], Reply | None]
"""Answers a request, given the match of its path and its JSON body; None breaks the connection off.

What is put is given as {"raw": text}, whatever it is.
"""


@dataclass
class Services:
    """Where the server answers, and what it was asked."""

    url: str = ""
    routes: list[tuple[re.Pattern[str], Route]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    """Path, JSON body and headers of every request, in order of arrival."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, path: str) -> int:
        """Return how many requests had a path that matches a regular expression."""
        return sum(bool(re.search(path, asked)) for asked, _, _ in self.asked)


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    """Return JSON."""
    return status, {"content-type": "application/json", **headers}, json.dumps(body).encode()


@contextmanager
def serving(*routes: tuple[str, Route], port: int = 0) -> Iterator[Services]:
    """Serve on a free port of 127.0.0.1; a route is a regular expression for the whole path, and a function."""
    services = Services(routes=[(re.compile(path), route) for path, route in routes])
    server = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"services": services}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    services.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield services
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # an answer goes out in two parts, the second of which waits 40 ms otherwise
    services: ClassVar[Services]

    def do_POST(self) -> None:
        self._answer(json.loads(self._body() or b"{}"))

    def do_PUT(self) -> None:
        self._answer({"raw": self._body().decode()})

    def do_GET(self) -> None:
        self._answer({})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _answer(self, body: dict[str, Any]) -> None:
        path = unquote(self.path)
        with self.services.lock:
            self.services.asked.append((path, body, dict(self.headers)))
        for pattern, route in self.services.routes:
            if match := pattern.fullmatch(path):
                self._send(route(match, body))
                return
        self._send(reply({"message": f"no route for {path}"}, 404))

    def _send(self, given: Reply | None) -> None:
        if given is None:
            self.close_connection = True
            self.connection.close()
            return
        status, headers, content = given
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...
