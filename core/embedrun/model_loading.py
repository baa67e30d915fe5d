"""Loading a model by its embedding contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.errors import DataError
from embedrun.model_settings import ModelSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def load(path: Path, settings: ModelSettings, device: str | None = None) -> SentenceTransformer:
    """Load a sentence-transformers folder, or a plain checkpoint, with its contract applied.

    Raises DataError where the folder holds no model that can be loaded.
    """
    from safetensors import SafetensorError
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no annotation there
    if not (path / "config.json").exists() and not (path / "modules.json").exists():
        raise DataError(f"{path}: no model here (neither modules.json nor config.json)")
    options = {"dtype": settings.dtype, "attn_implementation": settings.attention}
    try:
        loaded = SentenceTransformer(
            str(path),
            device=device,
            local_files_only=True,
            trust_remote_code=settings.trust_remote_code,
            model_kwargs={"use_safetensors": True, **{name: value for name, value in options.items() if value}},
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{path}: the model cannot be loaded: {error}") from error
    _apply(loaded, settings)
    return loaded


def _apply(loaded: SentenceTransformer, settings: ModelSettings) -> None:
    if settings.prompts is not None:
        loaded.prompts = {"query": settings.prompts.query, "document": settings.prompts.document}
        loaded.default_prompt_name = None
    if settings.max_length is not None:
        loaded.max_seq_length = settings.max_length
    if settings.pooling is not None:
        _pool(loaded, settings.pooling)
    if settings.normalize is not None:
        _normalise(loaded, normalise=settings.normalize)
    if settings.dimensions is not None:
        _cut(loaded, settings.dimensions)


def _pool(loaded: SentenceTransformer, mode: str) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    for index, module in enumerate(loaded):
        if isinstance(module, Pooling):
            loaded[index] = Pooling(module.embedding_dimension, pooling_mode=mode)


def _normalise(loaded: SentenceTransformer, *, normalise: bool) -> None:
    from sentence_transformers.sentence_transformer.modules import Normalize

    for index in reversed(range(len(loaded))):
        if isinstance(loaded[index], Normalize):
            del loaded[index]
    if normalise:
        loaded.append(Normalize())


def _cut(loaded: SentenceTransformer, dimensions: int) -> None:
    """Keep the leading dimensions by a fixed linear layer, before any normalisation.

    sentence-transformers' own `truncate_dim` cuts normalised vectors, whose length is then below 1, and is read by no
    server.
    """
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    full = loaded.get_embedding_dimension()
    if full is None or dimensions > full:
        raise DataError(f"model.dimensions: {dimensions} is more than the model's {full}")
    if dimensions == full:
        return
    leading = torch.eye(dimensions, full)
    layer = Dense(full, dimensions, bias=False, activation_function=torch.nn.Identity(), init_weight=leading)
    index = len(loaded) - isinstance(loaded[len(loaded) - 1], Normalize)
    loaded.insert(index, layer.requires_grad_(False).to(loaded.device, loaded.dtype))
