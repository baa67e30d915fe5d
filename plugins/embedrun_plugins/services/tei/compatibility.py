"""What TEI cannot load, or would serve otherwise than the model means it: known from files, before any training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from embedrun.model_settings import ModelSettings
from embedrun_plugins.models.model_files import ModelFiles
from embedrun_plugins.services.tei.versions import ARCHITECTURES, CARRIED, FLOAT32_ONLY, GPU_ONLY, NEWEST, REQUIRED

Dtype = Literal["float32", "float16"]
_POOLED = ("cls", "mean", "lasttoken")
_ACTIVATIONS = ("Identity", "Tanh")
_SLOW_ONLY = frozenset({"BertJapaneseTokenizer", "BertweetTokenizer", "PhobertTokenizer"})
"""Tokenizers of architectures that TEI knows, for which transformers has no fast one."""
_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spiece.model")
_SENTENCE_PIECE = "tokenizer.model"


def faults(
    folder: Path,
    settings: ModelSettings | None = None,
    version: str | None = NEWEST,
    *,
    gpu: bool | None = None,
    dtype: Dtype | None = None,
) -> Iterator[str]:
    """Say what keeps a version of TEI from serving a model as its contract says; nothing where nothing is known.

    The folder may be that of the model that a recipe starts from, since training changes neither its architecture nor
    its modules, or an export. What its files do not tell is not held against it, nor is the architecture where the
    version is none that is known (None: an image of one's own). `gpu` says whether it will run on one, None that this
    is not known; `dtype` is the number format asked for, if one is.
    """
    shape = ModelFiles.read(folder, settings)
    yield from _architecture_faults(shape, version, gpu=gpu, dtype=dtype)
    yield from _module_faults(shape)
    yield from _pooling_faults(shape)
    for path in shape.dense:
        yield from _dense_faults(shape, path)
    yield from _tokenizer_faults(shape)
    yield from _length_faults(shape)


def _architecture_faults(
    shape: ModelFiles, version: str | None, *, gpu: bool | None, dtype: Dtype | None
) -> Iterator[str]:
    name = shape.architecture
    if name is None:
        return
    loadable = ARCHITECTURES.get(version or "")
    if loadable and name not in loadable:
        yield f"TEI {version} has no '{name}' models, only {', '.join(sorted(loadable))}"
        return
    if name in GPU_ONLY and (gpu is False or dtype == "float32"):
        yield f"TEI runs '{name}' models on a GPU in float16 only"
    if name in FLOAT32_ONLY and dtype == "float16":
        yield f"TEI runs '{name}' models in float32 only"
    if name in CARRIED and (missing := [key for key in REQUIRED[name] if key not in shape.config]):
        yield f"TEI reads keys of '{name}' that this config.json, of transformers 5, lacks: {', '.join(missing)}"
    if name == "bert" and shape.config.get("position_embedding_type", "absolute") != "absolute" and not _is_jina(shape):
        yield f"TEI runs 'bert' with absolute positions only, not {shape.config['position_embedding_type']}"


def _is_jina(shape: ModelFiles) -> bool:
    return "jinaai/jina-bert" in str(shape.config.get("auto_map")) + str(shape.config.get("_name_or_path"))


def _module_faults(shape: ModelFiles) -> Iterator[str]:
    names = [name for name in shape.modules if name != "Dense"]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        order = "Transformer, Pooling, Dense, Normalize"
        yield f"TEI runs {order} in this order, and this model is {', '.join(shape.modules)}"
    elif shape.modules[:2] != ("Transformer", "Pooling"):
        yield f"TEI pools what the transformer gives, and this model is {', '.join(shape.modules)}"
    elif "Normalize" in names and shape.modules[-1] != "Normalize" and shape.settings.normalize is None:
        yield "TEI normalises last, and this model has modules after its Normalize"


def _pooling_faults(shape: ModelFiles) -> Iterator[str]:
    if len(shape.pooling) != 1 or shape.pooling[0] not in _POOLED:
        yield f"TEI pools by cls, mean or lasttoken, and this model by {' and '.join(shape.pooling)}"
    elif shape.architecture == "deberta-v2" and shape.pooling == ("lasttoken",):
        yield "TEI does not pool 'deberta-v2' models by lasttoken"
    leaves_out = shape.configs["pooling"].get("include_prompt") is False and not shape.settings.pooling
    if leaves_out and any(shape.prompts.values()):
        yield "TEI pools the prompt's tokens too, and this model leaves them out (include_prompt)"


def _dense_faults(shape: ModelFiles, path: str) -> Iterator[str]:
    config = shape.configs.get(path) or {}
    activation = str(config.get("activation_function") or "Identity").rsplit(".", 1)[-1]
    if activation not in _ACTIVATIONS:
        yield f"TEI's Dense has the activation {' or '.join(_ACTIVATIONS)}, and this model's {activation} ({path})"
    vectors = {config.get(f"module_{end}put_name", "sentence_embedding") for end in ("in", "out")}
    if config.get("use_residual") or vectors != {"sentence_embedding"}:
        yield f"TEI's Dense has no residual connection and reads the pooled vector, and this model's differs ({path})"


def _tokenizer_faults(shape: ModelFiles) -> Iterator[str]:
    class_name = str(shape.configs["tokenizer"].get("tokenizer_class") or "")
    if (shape.folder / "tokenizer.json").exists():
        return
    if class_name in _SLOW_ONLY:
        yield f"TEI needs a fast tokenizer (tokenizer.json), and there is none for {class_name}"
    complete = any(shape.folder.glob("*.safetensors"))  # of what the hub's cache holds, some may be missing yet
    if complete and not any((shape.folder / name).exists() for name in (*_TOKENIZER_FILES, _SENTENCE_PIECE)):
        yield "TEI needs a fast tokenizer (tokenizer.json), and this model has no tokenizer"


def _length_faults(shape: ModelFiles) -> Iterator[str]:
    length, positions = shape.max_length, shape.positions
    if length is None and shape.config:
        yield "TEI needs a maximum length, and this model has none; set model.max_length"
    elif length and positions and length > positions:
        yield f"max_length: {length} tokens are read, and the model has positions for {positions}"


def start_faults(folder: Path) -> Iterator[str]:
    """Say what TEI would stop at, or leave out without a word, when it starts with an exported folder."""
    shape = ModelFiles.read(folder)
    yield from _input_faults(shape)
    for key in ("pooling_mode_cls_token", "pooling_mode_mean_tokens"):
        if not isinstance(shape.configs["pooling"].get(key), bool):
            yield f"the pooling's config.json has no {key}"
    for key in REQUIRED.get(shape.architecture or "", ()):
        if key not in shape.config:
            yield f"config.json has no {key}"
    for name in shape.types:
        if name.rpartition(".")[0] != "sentence_transformers.models":
            yield f"modules.json names {name}, which TEI does not know"
    if any(text is None for text in (shape.configs["prompts"].get("prompts") or {}).values()):
        yield "config_sentence_transformers.json has a prompt that is null"


def _input_faults(shape: ModelFiles) -> Iterator[str]:
    if not (shape.folder / "tokenizer.json").exists():
        yield "tokenizer.json is missing"
    if not isinstance(shape.configs["length"].get("max_seq_length"), int):
        yield "sentence_bert_config.json has no max_seq_length"
    inputs = shape.configs["length"].get("modality_config") or {}
    if inputs.keys() - {"text"}:
        yield f"TEI reads plain text, and this model reads {', '.join(inputs)}"
