"""Servers on this machine's loopback address, in a thread of the tests' own process."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import uvicorn
from starlette.responses import Response

from embedrun.artifacts import Model
from embedrun_plugins.models.serving.app import App
from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.listener import listen, url_of
from embedrun_plugins.models.serving.metrics import Metrics

Rows = list[list[float]]


def as_asked(asked: dict[str, Any]) -> dict[str, Any]:
    return asked


def as_found(rows: Rows) -> Any:
    return rows


class Faulty(App):
    """The server, with a fault in how it reads requests or in what it answers."""

    def __init__(
        self,
        embedder: RequestEmbedder,
        metrics: Metrics,
        api_key: str | None,
        asked: Callable[[dict[str, Any]], dict[str, Any]] = as_asked,
        found: Callable[[Rows], Any] = as_found,
    ) -> None:
        super().__init__(embedder, metrics, api_key)
        self._asked, self._found = asked, found

    async def _embed(self, body: bytes) -> Response:
        response = await super()._embed(json.dumps(self._asked(json.loads(body))).encode())
        return Response(json.dumps(self._found(json.loads(response.body))), media_type="application/json")


@contextmanager
def serving(
    model: Model, api_key: str | None = None, limits: ServerLimits | None = None, **faults: Any
) -> Iterator[str]:
    """Serve a model with the project's own server, and yield its address."""
    metrics = Metrics()
    app = Faulty(
        RequestEmbedder(model, limits or ServerLimits(), metrics, "cpu"), metrics, api_key, **faults
    ).starlette()
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on"))
        thread = threading.Thread(target=lambda: server.run(sockets=[listener]))
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield url_of(listener)
        finally:
            server.should_exit = True
            thread.join()


@dataclass
class Recorder:
    """A server that writes down every request, and answers each text with a made-up vector."""

    url: str
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """Statuses to answer the next requests with, before 200."""
    redirect: str | None = None
    """Address that every request is sent on to."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def written(self) -> str:
        """All that was received, as text."""
        return json.dumps([self.paths, self.headers, self.bodies])


@contextmanager
def recording() -> Iterator[Recorder]:
    """Run a server that records what it is sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # answers go out in two parts, and the second waits 40 ms otherwise

        def do_GET(self) -> None:
            self._take(b"")
            self._answer(200, {"model_id": "recorded", "max_input_length": 64})

        def do_POST(self) -> None:
            asked = self._take(self.rfile.read(int(self.headers["content-length"])))
            if not self.path.endswith(("/embed", "/invocations")):
                return self._answer(404, {"error": "no such route"})
            with recorder.lock:
                status = recorder.statuses.pop(0) if recorder.statuses else 200
            if recorder.redirect:
                return self._answer(307, {}, recorder.redirect)
            if status != 200:
                return self._answer(status, {"error": "said so", "error_type": "Test"})
            texts = asked["inputs"] if isinstance(asked["inputs"], list) else [asked["inputs"]]
            return self._answer(200, [[float(len(text)), 1.0] for text in texts])

        def _take(self, body: bytes) -> dict[str, Any]:
            asked: dict[str, Any] = json.loads(body) if body else {}
            with recorder.lock:
                recorder.paths.append(self.path)
                recorder.headers.append(dict(self.headers.items()))
                recorder.bodies.append(asked)
            return asked

        def _answer(self, status: int, value: Any, location: str | None = None) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            if location:
                self.send_header("location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        recorder = Recorder(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield recorder
        finally:
            server.shutdown()
            thread.join()
