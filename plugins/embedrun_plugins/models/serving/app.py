"""The routes: TEI's, OpenAI's and SageMaker's."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from embedrun_plugins.models.serving.embedder import RequestEmbedder
from embedrun_plugins.models.serving.encoders import TokenEncoder, Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.limits import SAGEMAKER_BYTES
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.requests import Body, Embed, OpenAi, Similarity, TextOptions, Tokenize, parse

log = logging.getLogger(__name__)
Answer = Callable[[bytes], Coroutine[Any, Any, Response]]
_P = ParamSpec("_P")
_T = TypeVar("_T")
_Body = TypeVar("_Body", bound=Body)
_LIMITS = {"/invocations": SAGEMAKER_BYTES}
"""Bytes of a body that a route takes in any case."""
_OPENAI = ("/v1/embeddings", "/embeddings")
_BODY_SECONDS = 60.0
"""How long a body may take to arrive."""
_DRAINED = 16
"""A body over the limit is read to its end, up to so many times the limit: a client that sends doesn't read."""
_SMALL = 64_000
"""Bytes, or numbers, that are read or written in the event loop, since a thread would take longer."""


class App:
    """What answers each route."""

    def __init__(self, embedder: RequestEmbedder, metrics: Metrics, api_key: str | None = None) -> None:
        self._embedder = embedder
        self._metrics = metrics
        self._api_key = api_key

    def starlette(self) -> Starlette:
        routes = [Route(path, self._guarded(answer), methods=["POST"]) for path, answer in self.posts().items()]
        routes += [Route(path, self._health) for path in ("/health", "/ping", "/")]
        routes += [Route("/info", self._info), Route("/metrics", self._render_metrics)]
        return Starlette(routes=routes, lifespan=self._lifespan, exception_handlers={HTTPException: _no_route})

    def posts(self) -> dict[str, Answer]:
        """Return what answers each path that takes a body."""
        return {
            "/embed": self._embed,
            "/": self._embed,
            "/invocations": self._embed,
            "/similarity": self._similarity,
            "/tokenize": self._tokenize,
            "/rerank": self._no_reranker,
            **dict.fromkeys(_OPENAI, self._openai),
        }

    async def _no_reranker(self, _: bytes) -> Response:
        raise RequestError("Backend", "model is not a re-ranker model")

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
                body = await self._body(request, _LIMITS.get(request.url.path, 0))
                response = await _unless_gone(request, answer(body))
            except RequestError as error:
                return self._failed(error, request)
            except asyncio.CancelledError:
                self._metrics.failed("Cancelled")
                raise
            except Exception:
                log.exception("%s failed", request.url.path)
                return self._failed(RequestError("Backend", "the server failed; see its log", 500), request)
            self._metrics.succeeded(time.monotonic() - started)
            return response

        return respond

    def _failed(self, error: RequestError, request: Request) -> Response:
        self._metrics.failed(error.kind)
        return error_response(error, openai=request.url.path in _OPENAI)

    def _authorize(self, request: Request) -> None:
        header = request.headers.get("authorization", "").encode("utf-8", "replace")
        if self._api_key and not hmac.compare_digest(header, f"Bearer {self._api_key}".encode()):
            raise RequestError("Unauthorized", "the header Authorization must hold Bearer and the server's API key")

    async def _body(self, request: Request, least: int) -> bytes:
        limit = max(least, self._embedder.limits.payload_limit)
        body, size = bytearray(), 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > limit * _DRAINED:
                        break
                    if size <= limit:
                        body += chunk
        except ClientDisconnect:
            raise RequestError("Cancelled", "the client left before its body was whole") from None
        except TimeoutError:
            raise RequestError("Validation", f"the body took more than {_BODY_SECONDS:g} s to arrive", 408) from None
        if size > limit:
            raise RequestError("Validation", f"the body is longer than {limit} bytes", 413)
        return bytes(body)

    async def _beside(self, size: int, function: Callable[_P, _T], *arguments: _P.args, **options: _P.kwargs) -> _T:
        """Call what would hold up the event loop in a thread."""
        if size <= _SMALL:
            return function(*arguments, **options)
        return await self._embedder.in_thread(function, *arguments, **options)

    async def _parsed(self, kind: type[_Body], body: bytes) -> _Body:
        return await self._beside(len(body), parse, kind, body)

    async def _embed(self, body: bytes) -> Response:
        request = await self._parsed(Embed, body)
        texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
        vectors, _ = await self._embedder.embed(
            texts, request, normalize=request.normalize, dimensions=request.dimensions
        )
        rows = await self._beside(vectors.size, rows_as_json, vectors)
        return Response(f"[{','.join(rows)}]", media_type="application/json")

    async def _similarity(self, body: bytes) -> Response:
        request = await self._parsed(Similarity, body)
        if not request.inputs.sentences:
            raise RequestError("Empty", "`inputs.sentences` cannot be empty")
        texts = [request.inputs.source_sentence, *request.inputs.sentences]
        vectors, _ = await self._embedder.embed(texts, request.parameters, normalize=True)
        return JSONResponse((vectors[1:] @ vectors[0]).astype(float).tolist())

    async def _openai(self, body: bytes) -> Response:
        request = await self._parsed(OpenAi, body)
        texts = [request.input] if isinstance(request.input, str) else request.input
        vectors, tokens = await self._embedder.embed(
            texts, TextOptions(), normalize=True, dimensions=request.dimensions
        )
        written = _rows_as_base64 if request.encoding_format == "base64" else rows_as_json
        rows = await self._beside(vectors.size, written, vectors)
        data = ",".join(f'{{"object":"embedding","index":{n},"embedding":{row}}}' for n, row in enumerate(rows))
        rest = json.dumps({"model": self._embedder.name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})
        return Response(f'{{"object":"list","data":[{data}],{rest[1:]}', media_type="application/json")

    async def _tokenize(self, body: bytes) -> Response:
        request = await self._parsed(Tokenize, body)
        texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
        encoder = self._embedder.encoder
        if not isinstance(encoder, TokenEncoder):
            raise RequestError("NotFound", "this model's tokens cannot be shown")
        self._embedder.check_count(texts)
        return await self._embedder.in_thread(_tokens, encoder, texts, special=request.add_special_tokens)

    async def _health(self, _: Request) -> Response:
        return Response()

    async def _info(self, request: Request) -> Response:
        try:
            self._authorize(request)
        except RequestError as error:
            return error_response(error, openai=False)
        embedder = self._embedder
        return JSONResponse(
            {
                **embedder.described(),
                "model_type": {"embedding": {"pooling": embedder.pooling}},
                "dimensions": embedder.dimensions,
                "prompts": embedder.prompts,
            }
        )

    async def _render_metrics(self, _: Request) -> Response:
        text = self._metrics.render({"te_queue_size": self._embedder.waiting})
        return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


def _tokens(encoder: TokenEncoder, texts: Sequence[str], *, special: bool) -> Response:
    return JSONResponse(
        [
            [
                {"id": i, "text": t, "special": bool(s), "start": None if s else a, "stop": None if s else b}
                for i, t, s, (a, b) in zip(e.ids, e.tokens, e.special_tokens_mask, e.offsets, strict=True)
            ]
            for e in encoder.tokenize(texts, special=special)
        ]
    )


async def _unless_gone(request: Request, answer: Coroutine[Any, Any, Response]) -> Response:
    """Return the answer, or end its computation as soon as nobody waits for it."""
    answering, leaving = asyncio.ensure_future(answer), asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((answering, leaving), return_when=asyncio.FIRST_COMPLETED)
        if answering.done():
            return answering.result()
        raise RequestError("Cancelled", "the client left before it was answered")
    finally:
        answering.cancel()
        leaving.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


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


def error_response(error: RequestError, *, openai: bool) -> Response:
    """Return an error in TEI's form, or in OpenAI's."""
    body: dict[str, Any] = {"error": error.message, "error_type": error.kind}
    if openai:
        body = {"message": error.message, "code": error.status, "type": error.kind}
    return JSONResponse(body, status_code=error.status)


async def _no_route(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path} is not a route of this server"
    return JSONResponse({"error": message, "error_type": "NotFound"}, status_code=status)
