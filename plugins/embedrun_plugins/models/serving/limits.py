"""What the server takes on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

CLIENT_TEXTS = 8192
"""Texts in one request by default: Chroma sends up to 5,461 at once, LangChain 1,000, OpenAI's API takes 2,048."""
SAGEMAKER_BYTES = 6_291_456
"""Bytes of a body that SageMaker passes on."""


class ServerLimits(BaseModel):
    """What the server takes on; the names are TEI's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch_tokens: int | None = Field(None, ge=1)
    """Tokens in a batch, padding included; by default 16384 on an accelerator and 512 for each thread on a CPU."""
    max_client_batch_size: int = Field(CLIENT_TEXTS, ge=1)
    """Texts in one request."""
    max_concurrent_requests: int = Field(512, ge=1)
    """Requests in hand at once; more are answered 429."""
    payload_limit: int = Field(SAGEMAKER_BYTES, ge=1)
    """Bytes in a request's body; `/invocations` takes 6,291,456 in any case, as SageMaker passes on so many."""
    auto_truncate: bool = True
    """Whether texts over the model's length are cut, where the request doesn't say."""
    workers: int | None = Field(None, ge=1)
    """Batches encoded at once; by default 1 on an accelerator and up to 4 on a CPU, which share its cores."""
