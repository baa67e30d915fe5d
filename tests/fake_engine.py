"""A container engine that breaks: it answers as Docker does until it is asked for one thing, and then no more."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

IMAGE = f"sha256:{'1' * 64}"
CONTAINER = "2" * 64
ANSWERS: dict[str, Any] = {
    "GET /version": {"ApiVersion": "1.41", "Version": "20.10"},
    "GET /info": {"Architecture": "x86_64", "SecurityOptions": [], "Runtimes": {}},
    "GET /images/one/json": {"Id": IMAGE, "Size": 1, "Architecture": "amd64", "RepoDigests": [], "Config": {}},
    "GET /images/history": [],
    "POST /containers/create": {"Id": CONTAINER, "Warnings": []},
    "GET /containers/json": {"Id": CONTAINER, "State": {"Status": "created"}, "Config": {}},
    "GET /events": {},
    "POST /containers/attach": {},
    "POST /containers/start": {},
    "DELETE /containers": {},
}


class Engine(ThreadingHTTPServer):
    """Breaks off where it is asked for `breaks`; answers with an error of its own where `status` is one."""

    daemon_threads = True

    def __init__(self, breaks: str, status: int | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.breaks, self.status = breaks, status
        self.removed = False

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    server: Engine

    def log_message(self, *_: Any) -> None: ...

    def _answer(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/v1.41")
        asked = f"{self.command} {path.replace(IMAGE + '/', '').replace(CONTAINER + '/', '').removesuffix(CONTAINER)}"
        asked = asked.rstrip("/")
        self.server.removed |= asked == "DELETE /containers"
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if asked != self.server.breaks:
            self._write(200, ANSWERS[asked])
        elif self.server.status:
            self._write(self.server.status, {"message": "the engine is not well"})
        self.close_connection = True

    def _write(self, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer  # noqa: N815  # http.server finds them by these names
