"""Writing a model so that servers and older libraries load it too, to the same vectors.

sentence-transformers since 5.4 and transformers 5 write files that their older versions, the SageMaker containers and
Text Embeddings Inference (TEI) cannot read, or read wrongly without a word. `export` writes what all of them read:
legacy module types, boolean pooling keys, `max_seq_length`, legacy rope keys and tokenizer class.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model
from embedrun.errors import UserError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Json = dict[str, Any]

_LEGACY = "sentence_transformers.models"
_LEGACY_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout", "StaticEmbedding")
POOLING_KEYS: Mapping[str, str] = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
"""Older versions' keys, in the order in which they join the vectors of several modes."""
_DENSE_DEFAULTS = {"module_input_name": "sentence_embedding", "module_output_name": "sentence_embedding"}
_THIS_MACHINE = ("_name_or_path", "name_or_path", "is_local", "local_files_only")
_KEPT = ("README.md", "LICENSE", "LICENSE.txt", "LICENSE.md", "NOTICE")


def export(model: Model, folder: Path) -> None:
    """Write the model to a folder, its contract applied and saved with it.

    The folder loads in this version of sentence-transformers, in 3.4 with transformers 4, and in TEI. Dimensions that
    the contract cuts off are cut by a last linear layer, since nothing but this version would cut them otherwise.
    The same model always gives the same bytes. Modules that only sentence-transformers knows are kept; what TEI makes
    of them, `services.tei.export` judges.

    Raises UserError where the model's adapters are not merged, and DataError where it cannot be loaded.
    """
    from embedrun_plugins.models import cross_encoders

    if cross_encoders.is_cross_encoder(model.path):
        _export_reranker(model, folder)
        return
    loaded = model.load(device="cpu")
    if getattr(loaded.transformers_model, "_hf_peft_config_loaded", False):
        raise UserError(
            f"{model.path}: cannot be exported: its adapters are not merged into its weights; merge them first"
        )
    folder.mkdir(parents=True, exist_ok=True)
    loaded.save(str(folder), create_model_card=False)
    _write_legacy(folder, loaded)
    for name in _KEPT:
        if (model.path / name).is_file():
            shutil.copyfile(model.path / name, folder / name)
    _open_up(folder)


def _export_reranker(model: Model, folder: Path) -> None:
    """Write a reranker as a plain checkpoint of transformers, which TEI and older libraries read by config.json alone.

    Older versions of sentence-transformers find the function that scores go through in config.json, and read no more
    tokens than its tokenizer says. A decoder, whose score is made by a module of its own, is written as it is.
    """
    from embedrun_plugins.models import cross_encoders

    loaded = cross_encoders.load(model, "cpu")
    folder.mkdir(parents=True, exist_ok=True)
    loaded.save_pretrained(str(folder), create_model_card=False)
    if len(loaded) == 1:
        for name in ("modules.json", "sentence_bert_config.json"):
            (folder / name).unlink(missing_ok=True)
        activation = {"sentence_transformers": {"activation_fn": _fullname(loaded.activation_fn), "version": "4.1.0"}}
        _rewrite(folder / "config.json", lambda config: _legacy_config(config) | activation)
        inputs = list(loaded.tokenizer.model_input_names)
        length = {"model_max_length": loaded.max_seq_length}
        _rewrite(folder / "tokenizer_config.json", lambda config: _legacy_tokenizer_config(config, inputs) | length)
        _rewrite(folder / "tokenizer.json", lambda tokenizer: tokenizer | {"truncation": None, "padding": None})
    for name in _KEPT:
        if (model.path / name).is_file():
            shutil.copyfile(model.path / name, folder / name)
    _open_up(folder)


def _fullname(function: object) -> str:
    """Return the module and class of an activation, as older versions look it up."""
    return f"{type(function).__module__}.{type(function).__qualname__}"


def _open_up(folder: Path) -> None:
    """Give every file the mode of those written here: safetensors makes its own readable by nobody else."""
    mode = (folder / "config_sentence_transformers.json").stat().st_mode
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(mode & 0o777)


def _write_legacy(folder: Path, loaded: SentenceTransformer) -> None:
    modules = json.loads((folder / "modules.json").read_text("utf-8"))
    for index, module in enumerate(modules):
        module["name"] = str(index)
        name = module["type"].rsplit(".", 1)[-1]
        if module["type"].startswith("sentence_transformers.") and name in _LEGACY_MODULES:
            module["type"] = f"{_LEGACY}.{name}"
            rewrite = {"Pooling": _legacy_pooling, "Dense": _legacy_dense}.get(name)
            if rewrite is not None:
                _rewrite(folder / module["path"] / "config.json", rewrite)
    _write(folder / "modules.json", modules)
    _rewrite(folder / "sentence_bert_config.json", lambda config: _legacy_transformer(config, loaded.max_seq_length))
    if (folder / "sentence_bert_config.json").exists():
        _rewrite(folder / "config.json", _legacy_config)
    inputs = list(getattr(loaded.tokenizer, "model_input_names", ()))
    _rewrite(folder / "tokenizer_config.json", lambda config: _legacy_tokenizer_config(config, inputs))
    _rewrite(folder / "tokenizer.json", lambda tokenizer: tokenizer | {"truncation": None, "padding": None})


def _legacy_pooling(config: Json) -> Json:
    modes = config["pooling_mode"]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if modes != [mode for mode in POOLING_KEYS if mode in modes]:
        return config  # joined in another order than older versions do: what they misread is worse than an error
    return {
        "word_embedding_dimension": config["embedding_dimension"],
        **{key: mode in modes for mode, key in POOLING_KEYS.items()},
        "include_prompt": config["include_prompt"],
    }


def _legacy_dense(config: Json) -> Json:
    return {key: value for key, value in config.items() if value != _DENSE_DEFAULTS.get(key)}


def _legacy_transformer(config: Json, max_length: int | None) -> Json:
    """Return the two keys that older versions know, where they say all; texts are lowercased by tokenizer.json."""
    plain = {
        "transformer_task": "feature-extraction",
        "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
        "module_output_name": "token_embeddings",
    }
    return {"max_seq_length": max_length, "do_lower_case": False} if config == plain else config


def _legacy_config(config: Json) -> Json:
    legacy = {key: value for key, value in config.items() if key not in _THIS_MACHINE}
    if "dtype" in legacy:
        legacy["torch_dtype"] = legacy["dtype"]
    return legacy | _legacy_rope(config)


def _legacy_rope(config: Json) -> Json:
    """Return transformers 4's keys for `rope_parameters`, which may differ by the kind of layer."""
    rope = config.get("rope_parameters") or {}
    full, sliding = rope.get("full_attention"), rope.get("sliding_attention")
    if full and sliding and config["model_type"] == "modernbert":
        layers = config["layer_types"]
        every = layers.index("full_attention", 1) if "full_attention" in layers[1:] else len(layers)
        return {
            "global_rope_theta": full["rope_theta"],
            "local_rope_theta": sliding["rope_theta"],
            "global_attn_every_n_layers": every,
        }
    if full and sliding:
        return _plain_rope(full) | {"rope_local_base_freq": sliding["rope_theta"]}
    return _plain_rope(rope)


def _plain_rope(rope: Json) -> Json:
    if "rope_theta" not in rope:
        return {}
    if rope.get("rope_type", "default") == "default":
        return {"rope_theta": rope["rope_theta"]}
    return {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {key: value for key, value in rope.items() if key != "rope_theta"},
    }


def _legacy_tokenizer_config(config: Json, inputs: list[str]) -> Json:
    """Name the model's inputs too: for a tokenizer without a class of its own, the versions' defaults differ."""
    legacy = {key: value for key, value in config.items() if key not in _THIS_MACHINE} | {"model_input_names": inputs}
    if legacy.get("tokenizer_class") == "TokenizersBackend":
        legacy["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(legacy.get("extra_special_tokens"), list):
        legacy["additional_special_tokens"] = legacy.pop("extra_special_tokens")
    return legacy


def _rewrite(file: Path, change: Callable[[Json], Json]) -> None:
    if file.exists():
        _write(file, change(json.loads(file.read_text("utf-8"))))


def _write(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", "utf-8")
