"""Loading a model by its embedding contract."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model, ModelSettings
from embedrun.errors import DataError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load(model: Model, device: str | None = None) -> SentenceTransformer:
    """Load a sentence-transformers folder, or a plain checkpoint, with its contract applied.

    Raises DataError where the folder holds no model that can be loaded.
    """
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no annotation there
    settings = model.settings
    if not (model.path / "config.json").exists() and not (model.path / "modules.json").exists():
        raise DataError(f"{model.path}: no model here (neither modules.json nor config.json)")
    try:
        loaded = SentenceTransformer(
            str(model.path),
            device=device,
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs=_weights_arguments(settings),
            truncate_dim=settings.dimensions,
        )
    except (OSError, ValueError, KeyError, json.JSONDecodeError) as error:
        raise DataError(f"{model.path}: the model cannot be loaded: {error}") from error
    _apply(loaded, settings)
    return loaded


def _weights_arguments(settings: ModelSettings) -> dict[str, Any]:
    arguments: dict[str, Any] = {"use_safetensors": True}
    if settings.dtype:
        arguments["dtype"] = settings.dtype
    if settings.attention:
        arguments["attn_implementation"] = settings.attention
    return arguments


def _apply(loaded: SentenceTransformer, settings: ModelSettings) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    if settings.prompts is not None:
        loaded.prompts = {"query": settings.prompts.query, "document": settings.prompts.document}
        loaded.default_prompt_name = None
    if settings.max_length is not None:
        loaded.max_seq_length = settings.max_length
    if settings.pooling is not None:
        for name, module in loaded.named_children():
            if isinstance(module, Pooling):
                dimension = module.get_embedding_dimension()
                setattr(loaded, name, Pooling(dimension, pooling_mode=settings.pooling))
    if settings.normalize is not None:
        for name, module in list(loaded.named_children()):
            if isinstance(module, Normalize):
                delattr(loaded, name)
        if settings.normalize:
            loaded.append(Normalize())
