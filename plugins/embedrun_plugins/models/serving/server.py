"""Starting the server, and ending it without losing what it was asked."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun_plugins.models.cross_encoders import is_cross_encoder
from embedrun_plugins.models.serving.app import App
from embedrun_plugins.models.serving.connections import REQUEST_SECONDS, Connection, use_all_files
from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.models.serving.listener import BACKLOG, is_loopback, listen, url_of
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.rerank_app import RerankApp
from embedrun_plugins.models.serving.reranker import RequestReranker

log = logging.getLogger(__name__)
GRACE_SECONDS = 30
_ACCEPTED_AT_ONCE = 16
"""asyncio accepts so many before any of them can make room for others, and when files run out, fails as often."""


def serve(
    model: Model,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    api_key_env: str | None = None,
    device: str | None = None,
    limits: ServerLimits | None = None,
    name: str | None = None,
    on_ready: Callable[[str], None] = print,
) -> None:
    """Serve a model, be it an embedder or a reranker, until SIGTERM or SIGINT, then answer what was asked and return.

    `port=0` takes a free one. `on_ready` is given the server's URL as soon as it answers. `api_key_env` names the
    environment variable that holds the key which clients must send as `Authorization: Bearer KEY`.
    `name` is what the server calls the model; by default its folder's name.

    Raises UserError where the port is taken or the key's variable is empty, DataError where the model cannot be loaded.
    """
    api_key = _api_key(api_key_env)
    if api_key is None and not is_loopback(host):
        log.warning("%s can be reached from other machines, and no API key is required (--api-key-env)", host)
    with listen(host, port) as listener:
        metrics = Metrics()
        options = (model, limits or ServerLimits(), metrics, device, name)
        app = (
            RerankApp(RequestReranker(*options), metrics, api_key)
            if is_cross_encoder(model.path)
            else App(RequestEmbedder(*options), metrics, api_key)
        ).starlette()
        config = uvicorn.Config(
            app,
            http=type("Connection", (Connection,), {"most": use_all_files()}),
            ws="none",
            backlog=_ACCEPTED_AT_ONCE,
            log_level="warning",
            access_log=False,
            lifespan="on",
            # Longer than clients keep idle connections: else they send on one that is just being closed.
            timeout_keep_alive=int(REQUEST_SECONDS),
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        on_ready(url_of(listener))
        _Server(config).run(sockets=[listener])


def _api_key(variable: str | None) -> str | None:
    if variable is None:
        return None
    key = os.environ.get(variable)
    if not key:
        raise UserError(f"--api-key-env: the environment variable {variable} is not set, or empty")
    return key


class _Server(uvicorn.Server):
    """uvicorn raises a signal again when it has ended by it, which would end this process before it could return."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)  # uvicorn has set it to what asyncio accepts at once

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
