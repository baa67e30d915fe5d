"""Models behind OpenAI's API for embeddings, there or on any server that speaks it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from embedrun.artifacts import Encoder, Role
from embedrun.context import Context, Unkeyed
from embedrun.errors import EmbedrunError, StageError
from embedrun.model_settings import Prompts
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Embedder
from embedrun_plugins.services import openai
from embedrun_plugins.services.addresses import Address, sends_in_the_open
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.stages.embedders.embedding_service import EmbeddingAnswer, TooLong

_TOO_LONG = re.compile(
    r"context (length|size|window)|too (long|large|many .{0,10}tokens)|less than \d+ tokens|max\w* .{0,40}tokens",
    re.IGNORECASE,
)


REHEARSED_DIMENSIONS = 1536
"""Of the vectors that a rehearsal makes up where nothing says how many there are."""


class OpenAIEmbedder(Embedder):
    """A model behind OpenAI's API for embeddings, there or on a server of your own, such as vLLM or Ollama.

    Every answer is kept: a text is asked and paid for once, however often it is scored. Texts longer than the model
    reads are cut at their end and counted, where the server says so.
    """

    type: Literal["openai"] = "openai"
    packages: ClassVar[Mapping[str, str]] = {"openai": "openai"}
    model: str = Field(min_length=1)
    """The model, as the server calls it: text-embedding-3-small, BAAI/bge-m3 …"""
    base_url: Address = openai.OPENAI
    """Where the API is, up to and with /v1; by default OpenAI's own."""
    api_key_env: VariableName | None = None
    """Environment variable with the key. By default OPENAI_API_KEY where base_url is OpenAI's own; no other server is
    sent that one."""
    dimensions: int | None = Field(None, ge=1)
    """Dimensions asked for, where the model can be cut; by default all."""
    prompts: Prompts = Prompts()
    """Text put before each query and document, where the model wants some."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1, le=2048)
    """Texts in a request."""
    concurrency: Annotated[int, Unkeyed] = Field(4, ge=1, le=64)
    """Requests at a time."""

    def reaches(self) -> Iterable[str]:
        return [self.base_url]

    def variables(self) -> Iterable[str]:
        return filter(None, [openai.key_variable(self.base_url, self.api_key_env)])

    def rehearsal(self, rehearsal: Rehearsal) -> Embedder:
        from embedrun_plugins.stages.embedders.rehearsal import unsent
        from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_key

        note_missing_key(rehearsal, self.base_url, self.api_key_env)
        return unsent(self, rehearsal, self.dimensions or REHEARSED_DIMENSIONS)

    def connect(self, ctx: Context) -> Encoder:
        from embedrun_plugins.stages.embedders.service_encoder import ServiceEncoder

        if warning := sends_in_the_open(self.base_url, self.api_key_env):
            ctx.warn(warning)
        return ServiceEncoder(
            _OpenAIService(self), ctx, name=self.role, prompts=self.prompts, concurrency=self.concurrency
        )


@dataclass
class _OpenAIService:
    stage: OpenAIEmbedder
    client: Any = field(default=None, repr=False)
    most_letters: None = None

    @property
    def most_texts(self) -> int:
        return self.stage.batch_size

    @property
    def dimensions(self) -> int | None:
        return self.stage.dimensions

    def identity(self, role: Role) -> dict[str, Any]:  # noqa: ARG002  # prompts are all that tells them apart
        # The address, too: on a server of one's own, any model may go by any name.
        stage = self.stage
        return {"service": "openai", "url": stage.base_url, "model": stage.model, "dimensions": stage.dimensions}

    def open(self) -> None:
        self.client = openai.client(self.stage.base_url, api_key_env=self.stage.api_key_env)

    def ask(self, texts: Sequence[str], role: Role) -> EmbeddingAnswer:  # noqa: ARG002
        stage = self.stage
        cut = {"dimensions": stage.dimensions} if stage.dimensions else {}
        try:
            with openai.explained(stage.base_url, model=stage.model, models=self.client.models):
                # Other servers do not know the base64 that the client would ask for.
                answer = self.client.embeddings.create(
                    model=stage.model, input=list(texts), encoding_format="float", **cut
                )
        except EmbedrunError as error:
            if getattr(error.__cause__, "status_code", None) in (400, 413, 422) and _TOO_LONG.search(str(error)):
                raise TooLong(openai.message_of(error.__cause__)) from error
            raise
        except (ValueError, TypeError, AttributeError) as error:
            raise StageError(f"{stage.base_url}: returned no embeddings: {error}") from error
        vectors = [item.embedding for item in sorted(answer.data, key=lambda item: int(item.index))]
        return EmbeddingAnswer(vectors, int(getattr(answer.usage, "total_tokens", 0) or 0))
