"""Why no recipe can start from a model, and what its user should know of it: told by its files, before any run."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

from embedrun.artifacts import Model
from embedrun.errors import printable
from embedrun.hashing import folder_files
from embedrun_plugins.models import publishers_prompts
from embedrun_plugins.models.model_files import ModelFiles

log = logging.getLogger(__name__)
_ADAPTER = "adapter_config.json"
_CONFIGS = (
    *("modules.json", "config.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
    *("tokenizer_config.json", "tokenizer.json", "special_tokens_map.json", _ADAPTER),
)
"""Files that hold an object, but for the list of modules; so does the config.json of each module's folder."""
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


_FIELDS: dict[str, tuple[Any, str]] = {
    **dict.fromkeys(
        ("max_position_embeddings", "n_positions", "hidden_size", "vocab_size", "max_seq_length", "pad_token_id"),
        (int, "a whole number"),
    ),
    "model_max_length": ((int, float), "a number"),
    **dict.fromkeys(("model_type", "default_prompt_name", "similarity_fn_name"), (str, "a text")),
    **dict.fromkeys(("dtype", "torch_dtype"), (str, "a text")),
    "pooling_mode": ((str, list), "a text or a list of texts"),
    "architectures": (list, "a list"),
    "prompts": (dict, "an object of texts"),
}
"""Fields that are read of these files, wherever they stand."""


def faults(model: Model) -> list[str]:
    """Return why it cannot be used; nothing where its weights are not here, since other files may be missing then."""
    if not any(model.path.rglob("*.safetensors")):
        return []
    if damaged := list(_damaged_files(model.path)):
        return damaged
    try:
        return _reasons(model, ModelFiles.read(model.path, model.settings))
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError, OSError) as error:
        reason = f"one of its JSON files does not hold what it should ({type(error).__name__}: {error})"
        return [f"{model.path}: {reason}; restore its files"]


def _damaged_files(folder: Path) -> Iterator[str]:
    """Name what no library could read, or would read as something else."""
    for name in folder_files(folder):
        if name.encode("utf-8", "replace") != name.encode("utf-8", "surrogatepass"):
            yield f"{folder}: holds a file whose name is not UTF-8 ({printable(name)}); rename or remove it"
    configs = [folder / name for name in _CONFIGS] + sorted(folder.glob("*/config.json"))
    for file in dict.fromkeys(configs):
        if file.is_file() and (fault := _shape_fault(file)):
            yield f"{file}: {fault}; restore the file"


def _shape_fault(file: Path) -> str | None:
    expected, noun = (list, "a list") if file.name == "modules.json" else (dict, "an object")
    try:
        value = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        return f"holds no JSON ({error})"
    if not isinstance(value, expected):
        return f"must hold {noun}, not {_shown(value)}"
    return next(_module_faults(value) if isinstance(value, list) else _field_faults(value, file.name), None)


def _module_faults(entries: list[Any]) -> Iterator[str]:
    for entry in entries:
        kind, path = (entry.get("type"), entry.get("path")) if isinstance(entry, dict) else (None, None)
        if not isinstance(kind, str) or not isinstance(path, str):
            yield f"must list objects with a 'type' and a 'path', not {_shown(entry)}"
        elif PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            yield f"names a module in another folder, {_shown(path)}; a module's path lies in the model's folder"


def _field_faults(value: dict[str, Any], name: str) -> Iterator[str]:
    """Compare what is read of a file with what it must be; what is null is as if it was not there."""
    for key, (types, noun) in _FIELDS.items():
        field = value.get(key)
        if field is not None and (not isinstance(field, types) or isinstance(field, bool)):
            yield f"'{key}' must be {noun}, not {_shown(field)}"
    prompts = value.get("prompts") if name == "config_sentence_transformers.json" else None
    for prompt, text in (prompts or {}).items() if isinstance(prompts, dict) else ():
        if not isinstance(text, str | None):
            yield f"the prompt '{prompt}' must be a text, not {_shown(text)}"


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:40]}…"  # noqa: PLR2004  # as much as fits on a line


def _reasons(model: Model, files: ModelFiles) -> list[str]:
    # What is read later, by deployers say, is read here once.
    _ = files.max_length, files.prompts, files.dtype, files.document_prompt, files.positions, files.learned_positions
    if adapter := next((file for folder in (model.path, files.folder) if (file := folder / _ADAPTER).is_file()), None):
        return [_adapter_fault(adapter)]
    reasons = [*_kind_faults(model.path, files), *_length_faults(files)]
    if not reasons and not files.types and not files.settings.pooling:
        _warn(
            f"{model.path}: has no modules.json, so pooling is taken to be {files.pooling[0]}; set model.pooling if it "
            "was trained otherwise"
        )
    if not reasons and (lacking := publishers_prompts.lacking(model.path, files)):
        _warn(lacking)
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
    return json.loads(file.read_text("utf-8"))
