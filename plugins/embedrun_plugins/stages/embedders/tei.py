"""A model behind Text Embeddings Inference (TEI)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Encoder, Role
from embedrun.context import Context, Unkeyed
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun.model_settings import Prompts
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Embedder
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.http import TRIES, Address, Refused, Server, sends_in_the_open
from embedrun_plugins.stages.embedders.embedding_service import Answer, TooLong

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


class Tei(Embedder):
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
        from embedrun_plugins.stages.embedders.service_encoder import Asking

        if warning := sends_in_the_open(self.url, self.api_key_env):
            ctx.warn(warning)
        service = _Service(Server(self.role, self.url, self.api_key_env), self.prompt_names)
        service.look(self.model, self.batch_size)
        for name, told in (("model", "model_id"), ("tokens read at most", "max_input_length")):
            if service.info.get(told):
                ctx.note(name, service.info[told])
        return Asking(service, ctx, name=self.role, prompts=self.prompts, concurrency=self.concurrency)


@dataclass
class _Service:
    server: Server
    prompt_names: PromptNames
    most_texts: int = MOST_TEXTS
    most_letters: None = None
    dimensions: None = None
    info: dict[str, Any] = field(default_factory=dict)

    def look(self, model: str | None, batch_size: int) -> None:
        """Ask what is served. Raises UserError where it is not what is wanted, or cannot embed."""
        try:
            found = self.server.get("/info")
        except Refused as refused:
            raise self._explained(refused) from refused
        kind = found.get("model_type") if isinstance(found, dict) else None
        if not isinstance(found, dict) or "model_id" not in found:
            raise UserError(f"{self.server.name}: {self.server.url} is no TEI server: its /info names no model")
        if isinstance(kind, dict) and "embedding" not in kind:
            what = ", ".join(kind)
            raise UserError(f"{self.server.name}: {self.server.url} serves '{found['model_id']}', a {what} model")
        if model is not None and found["model_id"] != model:
            raise UserError(f"{self.server.name}: {self.server.url} serves '{found['model_id']}', not '{model}'")
        self.info = found
        self.most_texts = min(batch_size, int(found.get("max_client_batch_size") or MOST_TEXTS))

    def identity(self, role: Role) -> dict[str, Any]:
        served = {name: self.info.get(name) for name in _IDENTIFYING}
        # A folder's path or an older server names no commit: another model may be there under the same name.
        place = {} if served["model_sha"] else {"url": self.server.url}
        return {"service": "tei", **served, **place, "prompt_name": getattr(self.prompt_names, role)}

    def open(self) -> None:
        self.server.key()

    def ask(self, texts: Sequence[str], role: Role) -> Answer:
        name = getattr(self.prompt_names, role)
        body = {"inputs": list(texts), "truncate": True, "normalize": True, **({"prompt_name": name} if name else {})}
        try:
            found = self.server.post("/embed", body)
        except Refused as refused:
            raise self._explained(refused) from refused
        if not isinstance(found, list) or not all(isinstance(vector, list) for vector in found):
            raise StageError(f"{self.server.name}: {self.server.url}/embed answers no vectors: {str(found)[:80]}")
        return Answer(found)

    def _explained(self, refused: Refused) -> EmbedrunError | TooLong:
        where, said = f"{self.server.name}: {self.server.url}", refused.said
        if refused.status == _TOO_LARGE:
            return TooLong(said)
        key = f"the key in {self.server.key_env}" if self.server.key_env else "requests without a key"
        if text := _WRONG.get(refused.status):
            return UserError(f"{where} {text.format(said=said, key=key)}")
        text = _FAILED.get(refused.status, f"answers {refused.status}: {{said}}")
        return StageError(f"{where} {text.format(said=said)}")


_TOO_LARGE = 413
_WRONG = {
    **dict.fromkeys((401, 403), "does not accept {key} ({said}); see 'api_key_env'"),
    404: "is no TEI server ({said}); give its address without /embed",
    422: "refuses the request: {said}; has its model a prompt of the name in 'prompt_names'?",
}
"""What can only succeed once something is changed, by the status of the answer."""
_FAILED = {
    424: "cannot run its model: {said}; see the server's log",
    429: (
        f"is overloaded, in spite of {TRIES} tries with growing pauses ({{said}}); lower 'concurrency'; what was "
        "answered is kept"
    ),
    503: "is not healthy, or still loads its model: {said}",
}
