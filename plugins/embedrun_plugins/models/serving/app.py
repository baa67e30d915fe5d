"""The routes: TEI's, OpenAI's and SageMaker's."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.encoders import TokenEncoder, Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.requests import Embed, OpenAi, Similarity, TextOptions, Tokenize, parse

log = logging.getLogger(__name__)
Answer = Callable[[bytes], Awaitable[Response]]
_LIMITS = {"/invocations": 6_291_456}
"""Bytes of a body that a route takes in any case: SageMaker passes on so many."""


class App:
    """What answers each route."""

    def __init__(self, embedder: RequestEmbedder, metrics: Metrics, api_key: str | None = None) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._api_key = api_key

    def starlette(self) -> Starlette:
        posts: dict[str, Answer] = {
            "/embed": self._embed,
            "/": self._embed,
            "/invocations": self._embed,
            "/similarity": self._similarity,
            "/tokenize": self._tokenize,
            "/v1/embeddings": self._openai,
        }
        routes = [Route(path, self._guarded(answer), methods=["POST"]) for path, answer in posts.items()]
        routes += [Route(path, self._health) for path in ("/health", "/ping", "/")]
        routes += [Route("/info", self._info), Route("/metrics", self._render_metrics)]
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_route})

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        self._embedder.close()

    def _guarded(self, answer: Answer) -> Callable[[Request], Awaitable[Response]]:
        """Check the key, read the body, count, and give errors their form."""

        async def respond(request: Request) -> Response:
            started = time.monotonic()
            self._metrics.request()
            try:
                self._authorize(request)
                response = await answer(await self._body(request, _LIMITS.get(request.url.path, 0)))
            except RequestError as error:
                self._metrics.failed(error.kind)
                return _error(error, openai=request.url.path.startswith("/v1/"))
            self._metrics.succeeded(time.monotonic() - started)
            return response

        return respond

    def _authorize(self, request: Request) -> None:
        header = request.headers.get("authorization", "").encode("utf-8", "replace")
        if self._api_key and not hmac.compare_digest(header, f"Bearer {self._api_key}".encode()):
            raise RequestError("Unauthorized", "the header Authorization must hold Bearer and the server's API key")

    async def _body(self, request: Request, least: int) -> bytes:
        limit = max(least, self._embedder.limits.payload_limit)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise RequestError("Validation", f"the body is longer than {limit} bytes", 413)
        return bytes(body)

    async def _embed(self, body: bytes) -> Response:
        query = parse(Embed, body)
        texts = [query.inputs] if isinstance(query.inputs, str) else query.inputs
        vectors, _ = await self._embedder.embed(texts, query, normalize=query.normalize, dimensions=query.dimensions)
        return Response(f"[{','.join(rows_as_json(vectors))}]", media_type="application/json")

    async def _similarity(self, body: bytes) -> Response:
        query = parse(Similarity, body)
        if not query.inputs.sentences:
            raise RequestError("Empty", "`inputs.sentences` cannot be empty")
        texts = [query.inputs.source_sentence, *query.inputs.sentences]
        vectors, _ = await self._embedder.embed(texts, query.parameters, normalize=True)
        return JSONResponse((vectors[1:] @ vectors[0]).astype(float).tolist())

    async def _openai(self, body: bytes) -> Response:
        query = parse(OpenAi, body)
        texts = [query.input] if isinstance(query.input, str) else query.input
        vectors, tokens = await self._embedder.embed(texts, TextOptions(), normalize=True, dimensions=query.dimensions)
        rows = _rows_as_base64(vectors) if query.encoding_format == "base64" else rows_as_json(vectors)
        data = ",".join(f'{{"object":"embedding","index":{n},"embedding":{row}}}' for n, row in enumerate(rows))
        rest = json.dumps({"model": self._embedder.name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        return Response(f'{{"object":"list","data":[{data}],{rest[1:]}', media_type="application/json")

    async def _tokenize(self, body: bytes) -> Response:
        query = parse(Tokenize, body)
        texts = [query.inputs] if isinstance(query.inputs, str) else query.inputs
        encoder = self._embedder.encoder
        if not isinstance(encoder, TokenEncoder):
            raise RequestError("NotFound", "this model's tokens cannot be shown")
        return JSONResponse(
            [
                [
                    {"id": i, "text": t, "special": bool(s), "start": None if s else a, "stop": None if s else b}
                    for i, t, s, (a, b) in zip(e.ids, e.tokens, e.special_tokens_mask, e.offsets, strict=True)
                ]
                for e in encoder.tokenize(texts, special=query.add_special_tokens)
            ]
        )

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _info(self, request: Request) -> Response:
        try:
            self._authorize(request)
        except RequestError as error:
            return _error(error, openai=False)
        embedder = self._embedder
        return JSONResponse(
            {
                "model_id": embedder.name,
                "model_dtype": embedder.dtype,
                "model_type": {"embedding": {"pooling": embedder.pooling}},
                "dimensions": embedder.dimensions,
                "prompts": embedder.prompts,
                "max_input_length": embedder.max_length,
                "max_batch_tokens": embedder.max_batch_tokens,
                "max_concurrent_requests": embedder.limits.max_concurrent_requests,
                "max_client_batch_size": embedder.limits.max_client_batch_size,
                "auto_truncate": embedder.limits.auto_truncate,
                "version": version("embedrun"),
            }
        )

    async def _render_metrics(self, _: Request) -> Response:
        text = self._metrics.render({"te_queue_size": self._embedder.waiting})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def rows_as_json(vectors: Vectors) -> list[str]:
    """Write each vector as a JSON list of the shortest decimals that give the same float32 again.

    pyarrow writes them five times as fast as `json`, and half as long: json would write the digits of a float64.
    """
    count, width = vectors.shape
    numbers = pa.array(np.ascontiguousarray(vectors).ravel()).cast(pa.string())
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * width)
    rows = pc.binary_join(pa.ListArray.from_arrays(offsets, numbers), ",")
    return [f"[{row}]" for row in rows.to_pylist()]


def _rows_as_base64(vectors: Vectors) -> list[str]:
    return [f'"{base64.b64encode(row.astype("<f4").tobytes()).decode()}"' for row in vectors]


def _error(error: RequestError, *, openai: bool) -> Response:
    body: dict[str, Any] = {"error": error.message, "error_type": error.kind}
    if openai:
        body = {"message": error.message, "code": error.status, "type": error.kind}
    return JSONResponse(body, status_code=error.status)


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path} is not a route of this server"
    return JSONResponse({"error": message, "error_type": "NotFound"}, status_code=status)
