"""A model behind Text Embeddings Inference (TEI)."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Encoder, Role
from embedrun.context import Context, Unkeyed
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun.model_settings import Prompts
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Embedder
from embedrun_plugins.services.addresses import Address, sends_in_the_open
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.endpoints.client import RequestParameters
from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key
from embedrun_plugins.services.endpoints.transports import TOO_LARGE, Refused, TransportError, explained, retries
from embedrun_plugins.stages.embedders.embedding_service import EmbeddingAnswer, TooLong

MOST_TEXTS = 32
"""Texts in a request that TEI takes unless it is told otherwise."""
REHEARSED_DIMENSIONS = 384
"""Of the vectors that a rehearsal makes up: only the server knows how many there are."""
_IDENTIFYING = ("model_id", "model_sha", "model_dtype", "model_type", "max_input_length")


class PromptNames(BaseModel):
    """Prompts that the server's model has, by their names there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    query: str | None = None
    """The prompt that goes before queries; none by default."""
    document: str | None = None
    """The prompt that goes before documents; none by default."""


class TeiEmbedder(Embedder):
    """A model behind Text Embeddings Inference, on this machine, an inference endpoint or anywhere.

    Every answer is kept by what `/info` says that the server serves: a text is asked for once, however often it is
    scored. Texts longer than the model reads are cut by the server.
    """

    type: Literal["tei"] = "tei"
    url: Address
    """Where the server is, such as http://localhost:8080."""
    model: str | None = None
    """The model that must be served there, as /info calls it; another is refused. By default any."""
    api_key_env: VariableName | None = None
    """Environment variable with the server's key, if it wants one. No other key or token is ever sent."""
    prompts: Prompts = Prompts()
    """Text put before each query and document."""
    prompt_names: PromptNames = PromptNames()
    """Instead of `prompts`: the names of prompts that the server's model has, as in {query: query}."""
    batch_size: Annotated[int, Unkeyed] = Field(MOST_TEXTS, ge=1)
    """Texts in a request, if the server takes as many."""
    concurrency: Annotated[int, Unkeyed] = Field(4, ge=1, le=512)
    """Requests at a time."""

    def faults(self) -> Iterable[str]:
        for role in ("query", "document"):
            if getattr(self.prompts, role) and getattr(self.prompt_names, role):
                yield f"prompt_names: the {role} has a prompt under 'prompts', too; leave one out"

    def reaches(self) -> Iterable[str]:
        return [self.url]

    def variables(self) -> Iterable[str]:
        return filter(None, [self.api_key_env])

    def rehearsal(self, rehearsal: Rehearsal) -> Embedder:
        from embedrun_plugins.stages.embedders.rehearsal import unsent
        from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_key

        if self.api_key_env:
            note_missing_key(rehearsal, self.url, self.api_key_env)
        return unsent(self, rehearsal, REHEARSED_DIMENSIONS)

    def connect(self, ctx: Context) -> Encoder:
        from embedrun_plugins.stages.embedders.service_encoder import ServiceEncoder

        if warning := sends_in_the_open(self.url, self.api_key_env):
            ctx.warn(warning)
        server = HttpTransport(self.url, Key(variable=self.api_key_env))
        service = _TeiService(self.role, server, self.prompt_names)
        weakref.finalize(service, server.close)
        service.look(self.model, self.batch_size)
        for name, key in (("model", "model_id"), ("tokens read at most", "max_input_length")):
            if service.info.get(key):
                ctx.note(name, service.info[key])
        return ServiceEncoder(service, ctx, name=self.role, prompts=self.prompts, concurrency=self.concurrency)


@dataclass
class _TeiService:
    name: str
    server: HttpTransport
    prompt_names: PromptNames
    most_texts: int = MOST_TEXTS
    most_letters: None = None
    dimensions: None = None
    info: dict[str, Any] = field(default_factory=dict)

    def look(self, model: str | None, batch_size: int) -> None:
        """Ask what is served. Raises UserError where it is not what is wanted, or cannot embed."""
        self.open()
        info = self._answer(partial(self.server.get, "/info"))
        if not isinstance(info, dict) or "model_id" not in info:
            raise UserError(f"{self._where}: is not a TEI server: its /info names no model")
        kind = info.get("model_type")
        if isinstance(kind, dict) and "embedding" not in kind:
            raise UserError(f"{self._where}: serves '{info['model_id']}', a {', '.join(kind)} model")
        if model is not None and info["model_id"] != model:
            raise UserError(f"{self._where}: serves '{info['model_id']}', not '{model}'")
        self.info = info
        self.most_texts = min(batch_size, int(info.get("max_client_batch_size") or MOST_TEXTS))

    def identity(self, role: Role) -> dict[str, Any]:
        served = {name: self.info.get(name) for name in _IDENTIFYING}
        # A folder's path or an older server names no commit: another model may be there under the same name.
        address = {} if served["model_sha"] else {"url": self.server.url}
        return {"service": "tei", **served, **address, "prompt_name": getattr(self.prompt_names, role)}

    def open(self) -> None:
        self.server.key.headers(self.name)

    def ask(self, texts: Sequence[str], role: Role) -> EmbeddingAnswer:
        names = self.prompt_names
        body = RequestParameters(query=names.query, document=names.document).body(texts, role)
        vectors = self._answer(partial(self.server.send, body))
        if not isinstance(vectors, list) or not all(isinstance(vector, list) for vector in vectors):
            raise StageError(f"{self._where}: returned no vectors: {str(vectors)[:80]}")
        return EmbeddingAnswer(vectors)

    @property
    def _where(self) -> str:
        return f"{self.name}: {self.server.url}"

    def _answer(self, send: Callable[[], bytes]) -> Any:
        from tenacity import Retrying

        try:
            return json.loads(Retrying(**retries())(send))
        except TransportError as problem:
            raise self._explained(problem) from problem
        except ValueError as error:
            raise StageError(f"{self._where}: did not return JSON; is it the right server?") from error

    def _explained(self, problem: TransportError) -> EmbedrunError | TooLong:
        if isinstance(problem, Refused) and problem.status == TOO_LARGE:
            return TooLong(problem.said)
        if problem.kind == "no connection":
            return UserError(
                f"{self.name}: nothing answers at {self.server.url} ({problem}); is it running, and is the address "
                "right?"
            )
        variable = self.server.key.variable
        return explained(
            self._where,
            problem,
            key=f"the key in {variable}" if variable else "requests without a key",
            prompt="of the name in 'prompt_names'",
            advice="lower 'concurrency'; answers so far are kept",
        )
