"""Embedding models on Amazon Bedrock: Titan and Cohere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from embedrun.artifacts import Encoder, Role
from embedrun.context import Context, Unkeyed
from embedrun.errors import StageError, suggest
from embedrun.model_settings import Prompts
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Embedder
from embedrun_plugins.services import aws
from embedrun_plugins.services.addresses import Address
from embedrun_plugins.stages.embedders.bedrock_models import FAMILIES, KNOWN, FamilyName, answered, asked, family_of
from embedrun_plugins.stages.embedders.embedding_service import EmbeddingAnswer, TooLong

_TOO_LONG = re.compile(r"too many input tokens|expected maxLength|maximum.{0,30}tokens", re.IGNORECASE)
_TOKENS_HEADER = "x-amzn-bedrock-input-token-count"


class BedrockEmbedder(Embedder):
    """An embedding model on Amazon Bedrock: Titan Text Embeddings V2 or V1, or Cohere Embed V3.

    Credentials are boto3's own. Every answer is kept: a text is asked and paid for once, however often it is scored.
    Texts longer than the model reads (Titan: 50,000 characters and 8,192 tokens; Cohere: 2,048 characters and 512
    tokens) are cut at their end; those that are cut here, and not by Cohere, are counted. Cohere is told whether it
    reads queries or documents.
    """

    type: Literal["bedrock"] = "bedrock"
    packages: ClassVar[Mapping[str, str]] = {"boto3": "bedrock"}
    model: str = Field("amazon.titan-embed-text-v2:0", min_length=1)
    """The model's id, or that of an inference profile or provisioned throughput."""
    family: FamilyName | None = None
    """How the model is asked, where its id does not tell, as that of provisioned throughput: titan_v2, titan_v1 or
    cohere_v3."""
    dimensions: int | None = Field(None, ge=1)
    """Dimensions of Titan V2's vectors: 1024 (its default), 512 or 256. The others' cannot be chosen."""
    normalize: bool | None = None
    """Whether Titan V2's vectors have length 1; by default they have. The others' cannot be chosen."""
    prompts: Prompts = Prompts()
    """Text put before each query and document. These models want none."""
    region: Annotated[str | None, Unkeyed] = None
    """AWS region; by default that of the environment or profile."""
    profile: Annotated[str | None, Unkeyed] = None
    """Profile of the AWS configuration; by default that of the environment."""
    endpoint_url: Annotated[Address | None, Unkeyed] = None
    """Another address than the region's own, such as that of a private endpoint."""
    concurrency: Annotated[int, Unkeyed] = Field(8, ge=1, le=64)
    """Requests at a time."""

    def faults(self) -> Iterable[str]:
        name = self.family or family_of(self.model)
        if name is None:
            yield (
                f"model: '{self.model}' is not a known model{suggest(self.model, KNOWN)}; where its id does not "
                "tell which of these it is, set 'family'"
            )
            return
        family = FAMILIES[name]
        if not family.cuts:
            for key in ("dimensions", "normalize"):
                if getattr(self, key) is not None:
                    yield f"{key}: cannot be chosen for '{self.model}'; leave it out"
        elif self.dimensions is not None and self.dimensions not in family.dimensions:
            allowed = ", ".join(map(str, family.dimensions))
            yield f"dimensions: '{self.model}' has no vectors of {self.dimensions}; allowed: {allowed}"

    def reaches(self) -> Iterable[str]:
        return [aws.address("bedrock-runtime", region=self.region, endpoint_url=self.endpoint_url)]

    def variables(self) -> Iterable[str]:
        return aws.VARIABLES

    def rehearsal(self, rehearsal: Rehearsal) -> Embedder:
        from embedrun_plugins.stages.embedders.rehearsal import unsent
        from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_aws

        note_missing_aws(rehearsal, self.region, self.profile)
        family = self.family or family_of(self.model) or "titan_v2"
        return unsent(self, rehearsal, self.dimensions or FAMILIES[family].dimensions[0])

    def connect(self, ctx: Context) -> Encoder:
        from embedrun_plugins.stages.embedders.service_encoder import ServiceEncoder

        return ServiceEncoder(
            _BedrockService(self), ctx, name=self.role, prompts=self.prompts, concurrency=self.concurrency
        )


@dataclass
class _BedrockService:
    stage: BedrockEmbedder
    client: Any = field(default=None, repr=False)

    @property
    def family(self) -> FamilyName:
        return self.stage.family or family_of(self.stage.model) or "titan_v2"

    @property
    def most_texts(self) -> int:
        return FAMILIES[self.family].texts

    @property
    def most_letters(self) -> int:
        return FAMILIES[self.family].letters

    @property
    def dimensions(self) -> int | None:
        return self.stage.dimensions

    @property
    def parameters(self) -> dict[str, Any]:
        chosen = {"dimensions": self.stage.dimensions, "normalize": self.stage.normalize}
        return {name: value for name, value in chosen.items() if value is not None}

    def identity(self, role: Role) -> dict[str, Any]:
        # Only Cohere reads the two roles differently; Titan is not asked twice for a text that is both.
        read_as = {"role": role} if self.family == "cohere_v3" else {}
        return {"service": "bedrock", "model": self.stage.model, **self.parameters, **read_as}

    def open(self) -> None:
        self.client = aws.client(
            "bedrock-runtime",
            region=self.stage.region,
            endpoint_url=self.stage.endpoint_url,
            profile=self.stage.profile,
            connections=self.stage.concurrency,
        )

    def ask(self, texts: Sequence[str], role: Role) -> EmbeddingAnswer:
        body = json.dumps(asked(self.family, texts, role, self.parameters))
        try:
            with aws.explained("bedrock-runtime", model=self.stage.model):
                answer = self.client.invoke_model(
                    modelId=self.stage.model, body=body, contentType="application/json", accept="application/json"
                )
                content = answer["body"].read()
        except StageError as error:
            if aws.error_code(error) == "ValidationException" and _TOO_LONG.search(str(error)):
                raise TooLong(str(error)) from error
            raise
        counted = answer["ResponseMetadata"]["HTTPHeaders"].get(_TOKENS_HEADER)
        try:
            vectors, tokens = answered(self.family, json.loads(content))
        except (ValueError, KeyError, TypeError) as error:
            raise StageError(f"{self.stage.model}: returned no embeddings: {content[:80]!r}") from error
        return EmbeddingAnswer(vectors, int(counted or tokens))
