"""Loading a model by its embedding contract."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers has no annotation there
    if not (path / "config.json").exists() and not (path / "modules.json").exists():
        raise DataError(f"{path}: no model here (neither modules.json nor config.json)")
    require_safetensors(path)
    options = {"dtype": settings.dtype, "attn_implementation": settings.attention}
    try:
        with noting_missing() as missing:
            loaded = SentenceTransformer(
                str(path),
                device=device,
                local_files_only=True,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={"use_safetensors": True, **{name: value for name, value in options.items() if value}},
            )
        _check_prompts(loaded)
        loaded.encode(["a"], show_progress_bar=False)  # some damage shows only when a model is used
    except (TypeError, AttributeError) as error:
        reason = f"one of its JSON files does not hold what it should ({error})"
        raise DataError(f"{path}: the model cannot be loaded: {reason}") from error
    except Exception as error:  # damaged files make the libraries raise errors of any kind
        raise DataError(f"{path}: the model cannot be loaded: {error}") from error
    if missing:
        some = ", ".join(sorted(missing)[:3]) + (", …" if len(missing) > 3 else "")  # noqa: PLR2004 - a few tell enough
        raise DataError(f"{path}: its weights lack {len(missing)} tensors, which would be random: {some}")
    _apply(loaded, settings)
    return loaded


def require_safetensors(path: Path) -> None:
    """Raise DataError where a model's weights are pickled."""
    if pickled := [file for file in path.rglob("pytorch_model*.bin") if not any(file.parent.glob("*.safetensors"))]:
        raise DataError(f"{pickled[0]}: holds pickled weights, which are never loaded; save them as safetensors")


@contextmanager
def noting_missing(*, quietly: bool = False) -> Iterator[set[str]]:
    """Collect the tensors that transformers makes up while it loads, except a pooler's, which no vector depends on.

    Its own report of them is left out where it is `quietly`.
    """
    from transformers.utils.loading_report import LoadStateDictInfo

    missing: set[str] = set()
    report = LoadStateDictInfo.create_loading_report

    def noting(info: LoadStateDictInfo, model: object = None) -> str | None:
        missing.update(key for key in info.missing_keys if "pooler." not in key)
        return None if quietly else report(info, model)

    LoadStateDictInfo.create_loading_report = noting  # type: ignore[assignment,method-assign]
    try:
        yield missing
    finally:
        LoadStateDictInfo.create_loading_report = report  # type: ignore[method-assign]


def _check_prompts(loaded: SentenceTransformer) -> None:
    for name, prompt in loaded.prompts.items():
        if not isinstance(prompt, str | None):
            raise TypeError(f"config_sentence_transformers.json: prompt {name!r} is no text")


def _apply(loaded: SentenceTransformer, settings: ModelSettings) -> None:
    if settings.prompts is not None:
        loaded.prompts = {"query": settings.prompts.query, "document": settings.prompts.document}
        loaded.default_prompt_name = None
    elif not loaded.prompts.get("document") and (hidden := {"passage", "corpus"} & loaded.prompts.keys()):
        # sentence-transformers adds an empty "document", behind which it never looks for the author's other names.
        loaded.prompts["document"] = loaded.prompts[max(hidden)]
    _limit(loaded, settings.max_length)
    if settings.pooling is not None:
        _pool(loaded, settings.pooling)
    if settings.normalize is not None:
        _normalise(loaded, normalise=settings.normalize)
    if settings.dimensions is not None:
        _cut(loaded, settings.dimensions)


def _limit(loaded: SentenceTransformer, declared: int | None) -> None:
    """Read no more tokens than are declared, and than the transformer learned positions for."""
    positions = _positions(loaded)
    if declared and positions and declared > positions:
        raise DataError(
            f"model.max_length: {declared} is more than the {positions} tokens that the model has positions for"
        )
    length = declared or loaded.max_seq_length
    if declared or (positions and (length is None or length > positions)):
        loaded.max_seq_length = min(length or positions or 0, positions or length or 0)


def _positions(loaded: SentenceTransformer) -> int | None:
    for name, module in loaded.named_modules():
        if name.endswith((".position_embeddings", ".wpe")) and hasattr(module, "num_embeddings"):
            # RoBERTa and its kin count from behind the padding's position.
            return int(module.num_embeddings) - (0 if module.padding_idx is None else int(module.padding_idx) + 1)
    return None


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
