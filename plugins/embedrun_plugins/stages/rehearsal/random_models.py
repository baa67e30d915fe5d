"""Random models: a small BERT, or one of a real model's shape with fewer layers."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from functools import partial
from math import gcd
from pathlib import Path
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.models.model_files import ModelFiles
from embedrun_plugins.stages.rehearsal.texts import texts

_LAYERS = 2
_HEADS = 12
_WORDS = 3_000
"""Pieces of words in a random model's vocabulary."""
_MOST = 150_000_000
"""Parameters of a model that can be trained and kept several times within the minute."""
_SIZES = ("hidden_size", "dim", "d_model", "n_embd")
_COUNTS = ("num_hidden_layers", "n_layers", "num_layers", "n_layer", "num_decoder_layers")
_WEIGHTS = (".safetensors", ".safetensors.index.json")
_OTHER_WEIGHTS = (".bin", ".bin.index.json", ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".gguf")


def weights_size(folder: Path) -> int:
    """Return the bytes of a model's weights."""
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def random_model(folder: Path, size: int, length: int, *, scores: bool = False) -> None:
    """Write a random BERT with vectors of `size`, or one that scores pairs, whose tokenizer knows English pieces."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers'
    plain = folder if scores else folder.with_name(f"{folder.name}-plain")
    plain.mkdir(parents=True, exist_ok=True)
    learned = BertWordPieceTokenizer(lowercase=True)
    learned.train_from_iterator(iter([text.passage for text in texts(_WORDS)]), vocab_size=_WORDS, show_progress=False)
    tokenizer = BertTokenizer(vocab=learned.get_vocab(), model_max_length=length)
    tokenizer.save_pretrained(plain)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=size,
        num_hidden_layers=_LAYERS,
        num_attention_heads=gcd(size, _HEADS),
        intermediate_size=2 * size,
        max_position_embeddings=length,
    )
    config.num_labels = 1 if scores else 2
    (BertForSequenceClassification(config) if scores else BertModel(config)).save_pretrained(plain)
    if not scores:
        modules = [Transformer(str(plain), max_seq_length=length), Pooling(size, pooling_mode="mean"), Normalize()]
        SentenceTransformer(modules=modules, device="cpu").save_pretrained(str(folder), create_model_card=False)


def shrunk(source: Path, target: Path, *, trusted: bool) -> bool:
    """Write a random model of a real one's shape with two layers; its other files are copied as they are.

    Returns False where such a model cannot be made small. Raises UserError where transformers cannot read its
    configuration.
    """
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers'
    transformer = ModelFiles.read(source).folder
    make: Any = partial(AutoModel.from_config, _cut_configuration(transformer, trusted), trust_remote_code=trusted)
    torch.manual_seed(0)
    try:
        with torch.device("meta"):
            size = make().num_parameters()
        if size > _MOST:
            return False
        model = make()
        shutil.copytree(source, target, ignore=_without_weights(transformer))
        model.save_pretrained(target / transformer.relative_to(source))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError):
        shutil.rmtree(target, ignore_errors=True)
        return False
    return True


def _cut_configuration(folder: Path, trusted: bool) -> Any:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=trusted, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(f"{folder}: the model's configuration cannot be read: {error}") from error
    _cut_layers(config)
    return config


def vector_size(folder: Path) -> int:
    """Return the size of a model's token vectors, 0 where its configuration does not tell."""
    config = ModelFiles.read(folder).config
    return int(next((config[name] for name in _SIZES if isinstance(config.get(name), int)), 0))


def _cut_layers(config: Any) -> None:
    """Keep the first layers, also in what the configuration lists layer by layer."""
    for name in _COUNTS:
        count = getattr(config, name, None)
        if isinstance(count, int) and count > _LAYERS:
            setattr(config, name, _LAYERS)
            for key, value in config.to_dict().items():
                if isinstance(value, list) and len(value) == count:
                    setattr(config, key, value[:_LAYERS])


def _without_weights(transformer: Path) -> Any:
    """Return what tells copytree to leave out a transformer's weights, and those in formats that are not read."""

    def ignored(folder: str, names: Iterable[str]) -> list[str]:
        endings = _OTHER_WEIGHTS + (_WEIGHTS if Path(folder) == transformer else ())
        return [name for name in names if name.endswith(endings) or name in (".git", "onnx", "openvino")]

    return ignored
