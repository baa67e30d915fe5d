"""A reranker's routes: TEI's `/rerank`, and Cohere's and Jina's."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import numpy as np
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from embedrun_plugins.models.serving.app import Answer, App, error_response
from embedrun_plugins.models.serving.encoders import Vectors
from embedrun_plugins.models.serving.errors import RequestError
from embedrun_plugins.models.serving.metrics import Metrics
from embedrun_plugins.models.serving.requests import RankDocuments, Rerank
from embedrun_plugins.models.serving.reranker import RequestReranker


class RerankApp(App):
    """What answers each route of a reranker."""

    def __init__(self, reranker: RequestReranker, metrics: Metrics, api_key: str | None = None) -> None:
        served: Any = reranker
        super().__init__(served, metrics, api_key)
        self._reranker = reranker

    def posts(self) -> dict[str, Answer]:
        other = dict.fromkeys(("/embed", "/similarity", "/v1/embeddings", "/embeddings"), self._no_embedder)
        cohere = dict.fromkeys(("/v1/rerank", "/v2/rerank"), self._documents)
        return {"/rerank": self._rerank, "/": self._rerank, "/invocations": self._rerank, **cohere, **other}

    async def _rerank(self, body: bytes) -> Response:
        """Answer TEI's form; one with `documents` is Cohere's and Jina's, which others serve here, too."""
        if b'"documents"' in body and b'"texts"' not in body:
            return await self._documents(body)
        request = await self._parsed(Rerank, body)
        logits, _ = await self._reranker.score(
            request.query, request.texts, truncate=request.truncate, direction=request.truncation_direction
        )
        scores = logits if request.raw_scores else _sigmoid(logits)
        order = np.argsort(-scores, kind="stable").tolist()
        rows = [{"index": index, "score": float(scores[index])} for index in order]
        if request.return_text:
            rows = [{**row, "text": request.texts[int(row["index"])]} for row in rows]
        return JSONResponse(rows)

    async def _documents(self, body: bytes) -> Response:
        request = await self._parsed(RankDocuments, body)
        texts = [_text(document) for document in request.documents]
        logits, tokens = await self._reranker.score(request.query, texts, truncate=None, direction="Right")
        scores = _sigmoid(logits)
        order = np.argsort(-scores, kind="stable").tolist()[: request.top_n]
        results: list[dict[str, Any]] = [{"index": n, "relevance_score": float(scores[n])} for n in order]
        if request.return_documents:
            results = [{**row, "document": {"text": texts[row["index"]]}} for row in results]
        return JSONResponse(
            {
                "id": str(uuid4()),
                "model": self._reranker.name,
                "results": results,
                "usage": {"total_tokens": tokens},
                "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
            }
        )

    async def _no_embedder(self, _: bytes) -> Response:
        raise RequestError("Backend", "model is not an embedding model")

    async def _info(self, request: Request) -> Response:
        try:
            self._authorize(request)
        except RequestError as error:
            return error_response(error, openai=False)
        kind = {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}
        return JSONResponse({**self._reranker.described(), "model_type": kind})


def _sigmoid(logits: Vectors) -> Vectors:
    return np.asarray(1 / (1 + np.exp(-logits.astype(np.float64))), np.float32)


def _text(document: str | dict[str, Any]) -> str:
    """Return a document's text: Cohere's clients send objects, too, with the text under `text`."""
    if isinstance(document, str):
        return document
    text = document.get("text")
    return text if isinstance(text, str) else json.dumps(document, ensure_ascii=False)
