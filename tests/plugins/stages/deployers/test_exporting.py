"""Exported folders hold what TEI and older libraries read, and give the same vectors."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Dropout, Normalize, Pooling

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun_plugins.models.export import export
from embedrun_plugins.services.tei.export import export as export_for_tei

TEXTS = ["How do I reset it?", "naïve café 🎉", "x", "a long passage about revenue " * 30]
Small = Callable[..., Path]


def read(file: Path):
    return json.loads(file.read_text("utf-8"))


def files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def encoded(folder: Path) -> np.ndarray:
    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


def test_an_export_holds_the_keys_that_older_versions_and_tei_read(small: Small, tmp_path: Path) -> None:
    model = Model(small(Pooling(32, "cls"), Dense(32, 16), Normalize()))
    export_for_tei(model, tmp_path / "out")
    modules = read(tmp_path / "out" / "modules.json")
    assert [m["type"] for m in modules] == [
        f"sentence_transformers.models.{name}" for name in ("Transformer", "Pooling", "Dense", "Normalize")
    ]
    assert [m["path"] for m in modules] == ["", "1_Pooling", "2_Dense", "3_Normalize"]
    pooling = read(tmp_path / "out" / "1_Pooling" / "config.json")
    assert pooling["word_embedding_dimension"] == 32
    assert [key for key, value in pooling.items() if value is True] == ["pooling_mode_cls_token", "include_prompt"]
    assert set(read(tmp_path / "out" / "2_Dense" / "config.json")) == {
        "in_features",
        "out_features",
        "bias",
        "activation_function",
    }
    assert read(tmp_path / "out" / "sentence_bert_config.json") == {"max_seq_length": 48, "do_lower_case": False}
    assert read(tmp_path / "out" / "config.json")["torch_dtype"] == "float32"
    tokenizer = read(tmp_path / "out" / "tokenizer.json")
    assert tokenizer["truncation"] is None
    assert tokenizer["padding"] is None
    assert (tmp_path / "out" / "model.safetensors").exists()
    assert not list((tmp_path / "out").rglob("*.bin"))


def test_an_export_gives_the_vectors_of_the_model(small: Small, tmp_path: Path) -> None:
    model = Model(small(Pooling(32, ("cls", "mean")), Dense(64, 16), Normalize()))
    export(model, tmp_path / "out")
    np.testing.assert_allclose(encoded(tmp_path / "out"), model.load("cpu").encode(TEXTS), atol=1e-6)


def test_two_exports_are_the_same_bytes_and_name_no_folder_of_this_machine(small: Small, tmp_path: Path) -> None:
    model = Model(small(Pooling(32, "mean")))
    export(model, tmp_path / "one")
    export(model, tmp_path / "two")
    assert files(tmp_path / "one") == files(tmp_path / "two")
    assert not any(str(tmp_path).encode() in content for content in files(tmp_path / "one").values())


def test_the_contract_is_saved_with_the_model(small: Small, tmp_path: Path) -> None:
    settings = ModelSettings(
        prompts=Prompts(query="query: ", document="passage: "), max_length=12, pooling="lasttoken", normalize=True
    )
    model = Model(small(Pooling(32, "mean")), settings)
    export_for_tei(model, tmp_path / "out")
    prompts = read(tmp_path / "out" / "config_sentence_transformers.json")["prompts"]
    assert prompts == {"query": "query: ", "document": "passage: "}
    assert read(tmp_path / "out" / "sentence_bert_config.json")["max_seq_length"] == 12
    assert read(tmp_path / "out" / "1_Pooling" / "config.json")["pooling_mode_lasttoken"] is True
    again = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    np.testing.assert_allclose(again.encode_query(TEXTS), model.load("cpu").encode_query(TEXTS), atol=1e-6)


def test_dimensions_are_cut_by_the_model_itself_before_it_normalises(small: Small, tmp_path: Path) -> None:
    model = Model(small(Pooling(32, "mean"), Normalize()), ModelSettings(dimensions=8))
    export_for_tei(model, tmp_path / "out")
    assert "truncate_dim" not in read(tmp_path / "out" / "config_sentence_transformers.json")
    found = encoded(tmp_path / "out")
    full = SentenceTransformer(str(model.path), device="cpu").encode(TEXTS)[:, :8]
    np.testing.assert_allclose(found, full / np.linalg.norm(full, axis=1, keepdims=True), atol=1e-6)


def test_weights_are_saved_in_the_number_format_asked_for(small: Small, tmp_path: Path) -> None:
    export(Model(small(Pooling(32, "mean")), ModelSettings(dtype="float16", dimensions=8)), tmp_path / "out")
    loaded = SentenceTransformer(str(tmp_path / "out"), device="cpu")
    assert loaded.dtype == torch.float16
    assert loaded.encode(TEXTS).shape == (4, 8)


def test_rope_keys_of_transformers_4_are_written(small: Small, tmp_path: Path) -> None:
    model = small(Pooling(32, "lasttoken"), kind="qwen2", rope_theta=5000.0, num_key_value_heads=2)
    export(Model(model), tmp_path / "qwen")
    assert read(tmp_path / "qwen" / "config.json")["rope_theta"] == 5000.0


def test_rope_keys_of_both_kinds_of_layer_are_written(small: Small, tmp_path: Path) -> None:
    settings = {"kind": "modernbert", "global_attn_every_n_layers": 2}
    path = small(Pooling(32, "cls"), **settings)
    export(Model(path), tmp_path / "out")
    config = read(tmp_path / "out" / "config.json")
    assert config["global_rope_theta"] == 160000.0
    assert config["local_rope_theta"] == 10000.0
    assert config["global_attn_every_n_layers"] == 2


@pytest.mark.parametrize(
    ("modules", "reason"),
    [
        ([Pooling(32, "max")], "pools by cls, mean or lasttoken"),
        ([Pooling(32, ("cls", "mean"))], "pools by cls, mean or lasttoken"),
        ([Pooling(32, "mean"), Dropout()], "this model is Transformer, Pooling, Dropout"),
        ([Pooling(32, "mean"), Dense(32, 8, activation_function=torch.nn.ReLU())], "Identity or Tanh"),
        ([Pooling(32, "mean"), Dense(32, 8, use_residual=True)], "no residual connection"),
        ([Pooling(32, "mean"), Normalize(), Dense(32, 8)], "normalises last"),
    ],
)
def test_what_tei_cannot_serve_is_refused_for_tei_and_kept_otherwise(
    small: Small, tmp_path: Path, modules: list[torch.nn.Module], reason: str
) -> None:
    model = Model(small(*modules))
    with pytest.raises(UserError, match=reason):
        export_for_tei(model, tmp_path / "tei")
    assert not (tmp_path / "tei").exists()
    export(model, tmp_path / "portable")
    np.testing.assert_allclose(encoded(tmp_path / "portable"), model.load("cpu").encode(TEXTS), atol=1e-6)


def test_every_file_of_an_export_can_be_read_by_whom_the_umask_lets(small: Small, tmp_path: Path) -> None:
    export(Model(small(Pooling(32, "mean"), Dense(32, 16))), tmp_path / "out")
    (tmp_path / "any").touch()
    modes = {file.stat().st_mode for file in (tmp_path / "out").rglob("*") if file.is_file()}
    assert modes == {(tmp_path / "any").stat().st_mode}
