"""Models that no recipe can start from are refused by their files, and plain ones get a word about their pooling."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from embedrun.artifacts import Model
from embedrun.model_settings import ModelSettings
from embedrun.testing import tiny_model
from embedrun_plugins.models.model_faults import faults


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def write(file: Path, content: Any) -> None:
    file.write_text(json.dumps(content))


def test_a_dense_model_is_taken_without_a_word(tiny: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert faults(Model(tiny)) == []
    assert not caplog.messages


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("SparseEncoder", "is a sparse encoder"),
        ("CrossEncoder", "is a reranker"),
        ("MultiVectorEncoder", "is a multi-vector model"),
        ("SomethingNew", "is no dense embedding model but a SomethingNew"),
    ],
)
def test_other_kinds_of_model_are_refused(folder: Path, kind: str, reason: str) -> None:
    write(folder / "config_sentence_transformers.json", {"model_type": kind})
    (fault,) = faults(Model(folder))
    assert reason in fault


@pytest.mark.parametrize(
    "type_", ["sentence_transformers.sparse_encoder.models.SpladePooling", "pylate.models.Dense.Dense"]
)
def test_other_kinds_of_model_are_known_by_their_modules(folder: Path, type_: str) -> None:
    types = ["sentence_transformers.models.Transformer", type_]
    write(folder / "modules.json", [{"type": name, "path": f"{n or ''}"} for n, name in enumerate(types)])
    (fault,) = faults(Model(folder))
    assert "name a dense embedding model" in fault


def test_a_classifier_is_refused_unless_it_was_saved_as_an_embedder(folder: Path) -> None:
    write(folder / "config.json", {"model_type": "bert", "architectures": ["BertForSequenceClassification"]})
    (fault,) = faults(Model(folder))
    assert "is a classifier or a reranker (BertForSequenceClassification)" in fault
    write(folder / "modules.json", [{"type": "sentence_transformers.models.Transformer", "path": ""}])
    assert faults(Model(folder)) == []


def test_an_adapter_names_its_base_and_what_to_do(folder: Path) -> None:
    write(folder / "adapter_config.json", {"base_model_name_or_path": "someone/base"})
    (fault,) = faults(Model(folder))
    assert "holds an adapter of 'someone/base' alone" in fault
    assert "merge" in fault


def test_a_length_beyond_the_positions_is_refused(tiny: Path, tmp_path: Path) -> None:
    (fault,) = faults(Model(tiny, ModelSettings(max_length=65)))
    assert fault == "max_length: 65 is more than the 64 tokens that the model has positions for"
    assert faults(Model(tiny, ModelSettings(max_length=64))) == []
    shutil.copytree(tiny, tmp_path / "model")
    config = json.loads((tiny / "config.json").read_text())
    write(tmp_path / "model/config.json", config | {"model_type": "xlm-roberta", "pad_token_id": 1})
    assert "more than the 62 tokens" in faults(Model(tmp_path / "model", ModelSettings(max_length=64)))[0]


def test_pooling_that_is_only_taken_to_be_so_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(folder / "config.json", {"model_type": "bert", "architectures": ["BertModel"]})
    with caplog.at_level(logging.WARNING):
        assert faults(Model(folder, ModelSettings(pooling="cls"))) == []
        assert not caplog.messages
        assert faults(Model(folder)) == faults(Model(folder)) == []
    (message,) = caplog.messages
    assert "pooling is taken to be mean; set model.pooling" in message


def test_a_causal_model_without_modules_is_pooled_by_its_last_token(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(folder / "config.json", {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]})
    assert faults(Model(folder)) == []
    assert "pooling is taken to be lasttoken" in caplog.text


def test_a_model_that_is_not_here_in_whole_is_not_judged(tmp_path: Path) -> None:
    write(tmp_path / "config.json", {"model_type": "bert", "architectures": ["BertForSequenceClassification"]})
    assert faults(Model(tmp_path)) == []
