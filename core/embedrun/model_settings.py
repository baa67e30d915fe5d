"""The embedding contract: how a model turns texts into vectors, declared once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

STRICT = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False, protected_namespaces=())
"""What all that a recipe says is checked by: no unknown keys, no infinite numbers; built when first used."""


class Prompts(BaseModel):
    """Text put before each input, by its role in retrieval."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    query: str = ""
    """Before every query, for example "query: "."""
    document: str = ""
    """Before every document, for example "passage: "."""


class ModelSettings(BaseModel):
    """The embedding contract: declared once, applied in mining, training, evaluation and serving alike."""

    model_config = STRICT

    prompts: Prompts | None = None
    """Prompts by role; by default those saved with the model."""
    max_length: int | None = Field(None, ge=1)
    """Tokens read of each text; by default the model's own limit."""
    pooling: Literal["cls", "mean", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"] | None = None
    """How token vectors become one vector; by default as saved with the model (mean for a plain checkpoint)."""
    normalize: bool | None = None
    """Whether vectors have length 1; by default as saved with the model."""
    dimensions: int | None = Field(None, ge=1)
    """Leading dimensions kept of every vector (for Matryoshka models); by default all."""
    dtype: Literal["float32", "float16", "bfloat16"] | None = None
    """Number format that the weights are loaded in; by default as saved."""
    attention: Literal["eager", "sdpa", "flash_attention_2", "flash_attention_3"] | None = None
    """Attention implementation; by default what transformers chooses."""
    trust_remote_code: bool = False
    """Run Python code that comes with the model. Only for publishers that you trust."""

    def unsaved(self) -> ModelSettings:
        """Return the part that a tuned model's files do not hold, and that must be given to load it."""
        return ModelSettings(attention=self.attention, dtype=self.dtype, trust_remote_code=self.trust_remote_code)


class ModelChoice(ModelSettings):
    """Which model to start from, and the embedding contract."""

    id: str = Field(min_length=1)
    """Hub id, or path of a folder (relative to the recipe, or starting with ./, ../ or /)."""
    revision: str | None = None
    """Branch, tag or commit on the hub; a run fixes it to a commit."""

    @property
    def settings(self) -> ModelSettings:
        return ModelSettings.model_validate(self.model_dump(exclude={"id", "revision"}))


@dataclass(frozen=True)
class BaseModelRef:
    """The model that a recipe starts from, fixed: a local folder, or a hub id at a commit."""

    choice: ModelChoice
    digest: str
    path: Path | None = None
    """None until it is fetched from the hub."""
