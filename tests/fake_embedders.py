"""Embedding services on loopback: Bedrock's invoke, OpenAI's embeddings, Text Embeddings Inference.

`routes` go into `fake_services.serving`, beside those of other fakes.
"""

from __future__ import annotations

import hashlib
import math
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fake_services import Reply, Route, reply

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
LETTERS = 2_048
"""Of a text that Cohere takes."""


def bag_of_words(size: int) -> Embed:
    """Return an encoder that depends on nothing but a text's words: each has a place of its own, by its hash."""

    def embed(texts: Sequence[str]) -> list[list[float]]:
        vectors = []
        for text in texts:
            vector = [0.0] * size
            for word in re.findall(r"\w+", text.lower()):
                digest = hashlib.sha256(word.encode()).digest()
                vector[int.from_bytes(digest[:4], "big") % size] += 1.0
            length = math.sqrt(sum(value * value for value in vector)) or 1.0
            vectors.append([value / length for value in vector])
        return vectors

    return embed


@dataclass
class Embedders:
    """How the services behave, and what they were asked to embed."""

    embed: Embed | None = None
    """A real model's encoder, in place of the words."""
    failures: list[str] = field(default_factory=list)
    """What goes wrong with the next requests, one each: 429, 503, expired, unknown, denied, broken, garbage."""
    most_tokens: int = 8_192
    """Words that a text may have; cut by Cohere and TEI, refused by the others."""
    texts: list[str] = field(default_factory=list)
    """Every text that was embedded, in order of arrival."""
    model: str = "BAAI/bge-base-en-v1.5"
    """What TEI and the OpenAI-compatible server serve."""
    sha: str | None = "a5beb1e3e68b9ab74eb54cfd186867f64f240e1a"
    kind: str = "embedding"
    reads: int = 512
    """Tokens that TEI says it reads of a text."""
    key: str | None = None
    """What must be sent as the key, if anything."""
    ignores_dimensions: bool = False
    most_bytes: int = 2_000_000
    lock: threading.Lock = field(default_factory=threading.Lock)

    def failure(self) -> str | None:
        with self.lock:
            return self.failures.pop(0) if self.failures else None

    def vectors(self, texts: Sequence[str], size: int) -> Sequence[Sequence[float]]:
        with self.lock:
            self.texts += texts
        return (self.embed or bag_of_words(size))(texts)

    def routes(self) -> list[tuple[str, Route]]:
        return [
            (r"/model/(?P<model>.+)/invoke", self.invoke),
            (r"/v1/embeddings", self.openai),
            (r"/v1/models", lambda *_: reply({"object": "list", "data": [{"id": self.model, "object": "model"}]})),
            (r"/embed", self.tei),
            (r"/info", self.info),
        ]

    def invoke(self, match: re.Match[str], body: dict[str, Any]) -> Reply | None:
        """Answer as Bedrock's runtime does, for Titan and Cohere."""
        failure = self.failure()
        if failure == "broken":
            return None
        if failure == "garbage":
            return reply({"outputs": []})
        if failure:
            return _aws_error(*_AWS[failure])
        if "titan" in match["model"]:
            return self._titan(body)
        if "cohere" in match["model"]:
            return self._cohere(body)
        return _aws_error(400, "ValidationException", "The provided model identifier is invalid.")

    def _titan(self, body: dict[str, Any]) -> Reply:
        text, tokens = body["inputText"], len(body["inputText"].split())
        if not text:
            return _aws_error(400, "ValidationException", "Malformed input request: expected minLength: 1, actual: 0")
        if tokens > self.most_tokens:
            told = f"Max input tokens: {self.most_tokens}, request input token count: {tokens}"
            return _aws_error(400, "ValidationException", f"400 Bad Request: Too many input tokens. {told} ")
        (vector,) = self.vectors([text], body.get("dimensions", 1024))
        return reply({"embedding": vector, "inputTextTokenCount": tokens})

    def _cohere(self, body: dict[str, Any]) -> Reply:
        texts = body["texts"]
        assert body["input_type"] in ("search_query", "search_document")
        assert body["truncate"] == "END"
        if len(texts) > 96 or any(len(text) > LETTERS for text in texts):
            return _aws_error(
                400, "ValidationException", "Malformed input request: #/texts/0: expected maxLength: 2048"
            )
        tokens = {"x-amzn-bedrock-input-token-count": str(sum(len(text.split()) for text in texts))}
        return reply({"embeddings": self.vectors(texts, 1024), "response_type": "embeddings_floats"}, **tokens)

    def openai(self, match: re.Match[str], body: dict[str, Any]) -> Reply | None:
        failure = self.failure()
        if failure == "broken":
            return None
        if failure == "garbage":
            return reply({"object": "list", "data": []})
        if failure:
            status, code, message = _OPENAI[failure]
            return reply({"error": {"message": message, "type": "error", "code": code}}, status)
        if body["model"] != self.model:
            message = f"The model `{body['model']}` does not exist."
            return reply({"error": {"message": message, "type": "error", "code": "model_not_found"}}, 404)
        longest = max(len(text.split()) for text in body["input"])
        if longest > self.most_tokens:
            message = (
                f"This model's maximum context length is {self.most_tokens} tokens, however you requested {longest} "
                f"tokens ({longest} in your prompt; 0 for the completion). Please reduce your prompt."
            )
            return reply({"error": {"message": message, "type": "invalid_request_error", "code": None}}, 400)
        size = 64 if self.ignores_dimensions else body.get("dimensions", 64)
        found = self.vectors(body["input"], size)
        data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(found)]
        usage = {"prompt_tokens": longest, "total_tokens": sum(len(text.split()) for text in body["input"])}
        return reply({"object": "list", "data": data[::-1], "model": self.model, "usage": usage})

    def tei(self, match: re.Match[str], body: dict[str, Any]) -> Reply | None:
        failure = self.failure()
        if failure == "broken":
            return None
        if failure == "garbage":
            return reply({"vectors": "none"})
        if failure:
            status, kind, message = _TEI[failure]
            return reply({"error": message, "error_type": kind}, status)
        texts = body["inputs"]
        assert body["truncate"] is True
        if sum(map(len, texts)) > self.most_bytes:
            return reply({"error": "Failed to buffer the request body: length limit exceeded"}, 413)
        wrong = None
        if len(texts) > 32:
            wrong = f"batch size {len(texts)} > maximum allowed batch size 32"
        elif body.get("prompt_name") not in (None, "query"):
            wrong = f"`{body['prompt_name']}` was not found in the Sentence Transformers configuration `prompts`"
        if wrong:
            return reply({"error": wrong, "error_type": "Validation"}, 422)
        prompt = "ask " if body.get("prompt_name") else ""
        return reply(self.vectors([prompt + text for text in texts], 48))

    def info(self, match: re.Match[str], body: dict[str, Any]) -> Reply:
        return reply(
            {
                "model_id": self.model,
                "model_sha": self.sha,
                "model_dtype": "float32",
                "model_type": {self.kind: {"pooling": "cls"}},
                "max_input_length": self.reads,
                "max_client_batch_size": 32,
                "auto_truncate": False,
                "version": "1.9.3",
            }
        )


def routes(embedders: Embedders | None = None) -> list[tuple[str, Route]]:
    """Return the services' paths, as regular expressions, with what answers there."""
    return (embedders or Embedders()).routes()


def _aws_error(status: int, code: str, message: str) -> Reply:
    return reply({"message": message}, status, **{"x-amzn-ErrorType": code})


_AWS = {
    "429": (429, "ThrottlingException", "Too many requests, please wait before trying again."),
    "503": (503, "ServiceUnavailableException", "Bedrock is unable to process your request."),
    "expired": (403, "ExpiredTokenException", "The security token included in the request is expired"),
    "unknown": (400, "ValidationException", "The provided model identifier is invalid."),
    "denied": (403, "AccessDeniedException", "You don't have access to the model with the specified model ID."),
}
_OPENAI = {
    "429": (429, "rate_limit_exceeded", "Rate limit reached for requests."),
    "503": (503, None, "The server is overloaded."),
    "expired": (401, "invalid_api_key", "Incorrect API key provided."),
    "quota": (429, "insufficient_quota", "You exceeded your current quota."),
}
_TEI = {
    "429": (429, "Overloaded", "Model is overloaded"),
    "503": (503, "Unhealthy", "unhealthy"),
    "424": (424, "Backend", "CUDA_ERROR_OUT_OF_MEMORY"),
    "expired": (401, "Unauthorized", "Unauthorized"),
}
