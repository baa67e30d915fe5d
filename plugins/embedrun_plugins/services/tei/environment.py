"""What TEI is told about a model, as the variables that its flags are set by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings
from embedrun_plugins.models.model_files import ModelFiles
from embedrun_plugins.services.tei.compatibility import Dtype
from embedrun_plugins.services.tei.versions import FLOAT32_ONLY, GPU_ONLY

BATCH_TOKENS = 16384
"""TEI's own default."""
_POOLING: Mapping[str, str] = {"cls": "cls", "mean": "mean", "lasttoken": "last-token"}


class TeiLimits(BaseModel):
    """What TEI takes on; the names are its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_batch_tokens: int | None = Field(None, ge=1)
    """Tokens in a batch; by default 16384, or the model's length where that is more."""
    max_client_batch_size: int = Field(32, ge=1)
    """Texts in one request."""
    max_concurrent_requests: int = Field(512, ge=1)
    """Requests in hand at once; more are answered 429."""
    payload_limit: int | None = Field(None, ge=1)
    """Bytes in a request's body; by default 2,000,000."""
    auto_truncate: bool = True
    """Whether texts over the model's length are cut, where the request doesn't say."""


def of(
    folder: Path,
    settings: ModelSettings | None = None,
    limits: TeiLimits | None = None,
    *,
    gpu: bool = False,
    dtype: Dtype | None = None,
) -> dict[str, str]:
    """Return TEI's environment for an exported model, without its place (MODEL_ID, or SageMaker's HF_MODEL_ID).

    The pooling is always said: without it, TEI pools a BERT by its first token where it finds no configuration.
    A batch has room for the longest text, since TEI would cut it to the batch without a word.

    Raises UserError where the pooling is none of TEI's, or a batch is smaller than a text may be.
    """
    shape, limits = ModelFiles.read(folder, settings), limits or TeiLimits()
    if len(shape.pooling) != 1 or shape.pooling[0] not in _POOLING:
        raise UserError(f"{folder}: TEI does not pool by {' and '.join(shape.pooling)}")
    longest = shape.max_length or 0
    if limits.max_batch_tokens is not None and limits.max_batch_tokens < longest:
        raise UserError(
            f"max_batch_tokens: {limits.max_batch_tokens} is less than the {longest} tokens that the model reads, and "
            "TEI would cut texts to it; raise it, or lower model.max_length"
        )
    variables: dict[str, Any] = {
        "POOLING": _POOLING[shape.pooling[0]],
        "DTYPE": dtype or number_format(shape, gpu=gpu),
        "MAX_BATCH_TOKENS": limits.max_batch_tokens or max(BATCH_TOKENS, longest),
        "MAX_CLIENT_BATCH_SIZE": limits.max_client_batch_size,
        "MAX_CONCURRENT_REQUESTS": limits.max_concurrent_requests,
        "AUTO_TRUNCATE": str(limits.auto_truncate).lower(),
        "DEFAULT_PROMPT_NAME": shape.default_prompt_name,
        "PAYLOAD_LIMIT": limits.payload_limit,
    }
    return {name: str(value) for name, value in variables.items() if value is not None}


def number_format(shape: ModelFiles, *, gpu: bool) -> Dtype:
    """Return the number format to serve in: the model's own where TEI has it.

    TEI has no bfloat16, whose numbers float32 holds exactly and float16 does not. On a CPU float16 is only slower.
    """
    if shape.architecture in GPU_ONLY:
        return "float16"
    return "float16" if gpu and shape.dtype == "float16" and shape.architecture not in FLOAT32_ONLY else "float32"
