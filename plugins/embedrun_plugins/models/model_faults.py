"""Why no recipe can start from a model, and what its user should know of it: told by its files, before any run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from embedrun.artifacts import Model
from embedrun_plugins.models.model_files import ModelFiles

log = logging.getLogger(__name__)
_ADAPTER = "adapter_config.json"
_OTHER_TASKS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_KINDS = {
    "SparseEncoder": "a sparse encoder, whose vectors are weights of words",
    "CrossEncoder": "a reranker, which scores pairs of texts and embeds none",
    "MultiVectorEncoder": "a multi-vector model (ColBERT), with a vector for each token",
}
"""What sentence-transformers saves beside dense models, by the name in config_sentence_transformers.json."""
_PACKAGES = {
    "sparse_encoder": "SparseEncoder",
    "cross_encoder": "CrossEncoder",
    "multi_vector_encoder": "MultiVectorEncoder",
}
"""Packages of sentence-transformers that hold those kinds' modules."""


def faults(model: Model) -> list[str]:
    """Return why it cannot be used; nothing where its weights are not here, since other files may be missing then."""
    if not any(model.path.rglob("*.safetensors")):
        return []
    files = ModelFiles.read(model.path, model.settings)
    if adapter := next((file for folder in (model.path, files.folder) if (file := folder / _ADAPTER).is_file()), None):
        return [_adapter_fault(adapter)]
    reasons = [*_kind_faults(model.path, files), *_length_faults(files)]
    if not reasons and not files.types and not files.settings.pooling:
        _warn(
            f"{model.path}: has no modules.json, so pooling is taken to be {files.pooling[0]}; set model.pooling if it "
            "was trained otherwise"
        )
    return reasons


@cache
def _warn(sentence: str) -> None:
    """Warn once, however often a process looks at the model."""
    log.warning(sentence)


def _adapter_fault(file: Path) -> str:
    base = _json(file).get("base_model_name_or_path")
    return (
        f"{file.parent}: holds an adapter of '{base}' alone ({_ADAPTER}), without that model's weights; merge it into "
        "them (peft's merge_and_unload) and name the merged folder, or start from the base with trainer.lora"
    )


def _kind_faults(path: Path, files: ModelFiles) -> Iterator[str]:
    if kind := _kind(files):
        yield f"{path}: is {_KINDS.get(kind, f'no dense embedding model but a {kind}')}; name a dense embedding model"
    for name in () if files.types else files.config.get("architectures") or ():
        if str(name).endswith(_OTHER_TASKS):
            yield (
                f"{path}: is a classifier or a reranker ({name}), which embeds no texts; name an embedding model, or "
                "save the encoder of this one alone (transformers.AutoModel)"
            )


def _kind(files: ModelFiles) -> str | None:
    """Return what sentence-transformers calls the model, where that is no dense embedder."""
    saved = str(files.configs["prompts"].get("model_type") or "SentenceTransformer")
    by_module = [kind for type_ in files.types for name, kind in _PACKAGES.items() if f".{name}." in type_]
    late = ["MultiVectorEncoder"] if any(type_.startswith("pylate.") for type_ in files.types) else []
    return next(iter([*([] if saved == "SentenceTransformer" else [saved]), *by_module, *late]), None)


def _length_faults(files: ModelFiles) -> Iterator[str]:
    declared, positions = files.settings.max_length, files.learned_positions
    if declared and positions and declared > positions:
        yield f"max_length: {declared} is more than the {positions} tokens that the model has positions for"


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
