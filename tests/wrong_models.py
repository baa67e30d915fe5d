"""Folders of models of which one file is wrong, each with how its message begins."""

from __future__ import annotations

import json
import struct

MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
]
Files = dict[str, bytes | None]
"""Contents by name; None where there is no such file."""
MODEL: Files = {
    "config.json": b'{"model_type": "bert", "max_position_embeddings": 64, "architectures": ["BertModel"]}',
    "modules.json": json.dumps(MODULES).encode(),
    "1_Pooling/config.json": b'{"pooling_mode_mean_tokens": true, "word_embedding_dimension": 32}',
    "sentence_bert_config.json": b'{"max_seq_length": 64}',
    "config_sentence_transformers.json": b'{"prompts": {"query": "q: "}}',
    "tokenizer_config.json": b"{}",
    "model.safetensors": struct.pack("<Q", 2) + b"{}",
}
_CONTENTS = {
    "nothing": (b"", "holds no JSON (Expecting value"),
    "null": (b"null", "must hold {noun}, not null; restore the file"),
    "a number": (b"3", "must hold {noun}, not 3; restore the file"),
    "a word": (b'"x"', 'must hold {noun}, not "x"; restore the file'),
    "half": (b'{"a": ', "holds no JSON (Expecting value"),
    "not UTF-8": (b"\xff\xfe", "holds no JSON ('utf-8' codec can't decode"),
    "the other kind": (b"", "must hold {noun}, not {other}; restore the file"),
    "a deep nest": (b"[" * 100_000, "holds no JSON (maximum recursion depth exceeded"),
}


def _each_file() -> dict[str, tuple[Files, str]]:
    cases: dict[str, tuple[Files, str]] = {}
    for file in (name for name in MODEL if name.endswith(".json")):
        noun, other = ("a list", '{"a": 1}') if file == "modules.json" else ("an object", "[1]")
        for what, (content, message) in _CONTENTS.items():
            text = other.encode() if what == "the other kind" else content
            cases[f"{file}: {what}"] = ({file: text}, f"model/{file}: {message.format(noun=noun, other=other)}")
    return cases


WRONG_MODELS: dict[str, tuple[Files, str]] = _each_file() | {
    "prompts of a number": (
        {"config_sentence_transformers.json": b'{"prompts": 5}'},
        "model/config_sentence_transformers.json: 'prompts' must be an object of texts, not 5; re",
    ),
    "prompt of a list": (
        {"config_sentence_transformers.json": b'{"prompts": {"query": [1]}}'},
        "model/config_sentence_transformers.json: the prompt 'query' must be a text, not [1]; res",
    ),
    "positions of a word": (
        {"config.json": b'{"model_type": "bert", "max_position_embeddings": "many"}'},
        "model/config.json: 'max_position_embeddings' must be a whole number, not \"many\"; restore",
    ),
    "length of a word": (
        {"sentence_bert_config.json": b'{"max_seq_length": "long"}'},
        "model/sentence_bert_config.json: 'max_seq_length' must be a whole number, not \"long\"; re",
    ),
    "modes of a number": (
        {"1_Pooling/config.json": b'{"pooling_mode": 5}'},
        "model/1_Pooling/config.json: 'pooling_mode' must be a text or a list of texts, not 5; re",
    ),
    "architectures of a number": (
        {"modules.json": None, "config.json": b'{"model_type": "bert", "architectures": 5}'},
        "model/config.json: 'architectures' must be a list, not 5; restore the file",
    ),
    "padding of a word": (
        {"config.json": b'{"model_type": "roberta", "pad_token_id": "x", "max_position_embeddings": 64}'},
        "model/config.json: 'pad_token_id' must be a whole number, not \"x\"; restore the file",
    ),
    "a module without a type": (
        {"modules.json": b'[{"path": ""}]'},
        "model/modules.json: must list objects with a 'type' and a 'path', not {\"path\": \"\"}; rest",
    ),
    "a module of a word": (
        {"modules.json": b'["Transformer"]'},
        "model/modules.json: must list objects with a 'type' and a 'path', not \"Transformer\"; res",
    ),
    "an adapter alone": (
        {"adapter_config.json": b'{"base_model_name_or_path": "x"}'},
        "model: holds an adapter of 'x' alone (adapter_config.json), without that model's weights",
    ),
    "a classifier": (
        {
            "modules.json": None,
            "config.json": b'{"model_type": "bert", "architectures": ["BertForSequenceClassification"]}',
        },
        "model: is a classifier or a reranker (BertForSequenceClassification), which embeds no te",
    ),
    "a sparse encoder": (
        {"config_sentence_transformers.json": b'{"model_type": "SparseEncoder"}'},
        "model: is a sparse encoder, whose vectors are weights of words; name a dense embedding m",
    ),
    "a module path that leads up": (
        {"modules.json": json.dumps([MODULES[0], {**MODULES[1], "path": "../../etc"}]).encode()},
        'model/modules.json: names a module in another folder, "../../etc"; a module\'s path lies ',
    ),
    "no files of a model": (dict.fromkeys(MODEL), "model: no model here (neither modules.json nor config.json)"),
}
