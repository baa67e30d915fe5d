"""A model is loaded by its contract."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from embedrun import DataError, Model, ModelSettings
from embedrun.model_settings import Prompts
from embedrun.testing import tiny_model

TEXT = "where is the lamp?"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def encoded(model, **settings):
    return Model(model.path, ModelSettings(**settings)).load("cpu").encode([TEXT])[0]


def test_cut_vectors_are_the_leading_dimensions_and_normalised(model):
    full, cut = encoded(model), encoded(model, dimensions=8)
    assert cut.shape == (8,)
    assert np.linalg.norm(cut) == pytest.approx(1, abs=1e-6)
    assert cut == pytest.approx(full[:8] / np.linalg.norm(full[:8]), abs=1e-6)


def test_more_dimensions_than_the_model_has_are_refused(model):
    with pytest.raises(DataError, match=r"model.dimensions: 33 is more than the model's 32"):
        encoded(model, dimensions=33)


def test_normalisation_can_be_taken_off_and_put_back(model):
    raw = encoded(model, normalize=False)
    assert np.linalg.norm(raw) != pytest.approx(1, abs=1e-3)
    assert encoded(model, normalize=True) == pytest.approx(raw / np.linalg.norm(raw), abs=1e-6)


def test_normalising_loses_no_other_module(model, tmp_path):
    import torch
    from sentence_transformers.sentence_transformer.modules import Dense

    loaded = model.load("cpu")
    loaded.append(Dense(32, 4, activation_function=torch.nn.Identity()))
    loaded.save_pretrained(str(tmp_path / "dense"), create_model_card=False)
    vector = encoded(Model(tmp_path / "dense"), normalize=True)
    assert vector.shape == (4,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-6)


def test_pooling_can_be_declared(model):
    assert not np.allclose(encoded(model), encoded(model, pooling="cls"))
    assert encoded(model, pooling="cls") == pytest.approx(tiny_cls(model), abs=1e-6)


def tiny_cls(model):
    tokens = model.load("cpu").encode([TEXT], output_value="token_embeddings")[0][0].numpy()
    return tokens / np.linalg.norm(tokens)


def test_prompts_are_applied_by_role(model):
    prompted = Model(model.path, ModelSettings(prompts=Prompts(query="river "))).load("cpu")
    assert prompted.encode_query([TEXT])[0] == pytest.approx(prompted.encode([f"river {TEXT}"])[0], abs=1e-6)
    assert prompted.encode_document([TEXT])[0] == pytest.approx(prompted.encode([TEXT])[0], abs=1e-6)


def test_texts_are_cut_at_the_declared_length(model):
    short = Model(model.path, ModelSettings(max_length=4)).load("cpu")
    assert short.encode(["the lamp is kept in the room"])[0] == pytest.approx(short.encode(["the lamp"])[0], abs=1e-6)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(DataError, match="no model here"):
        Model(tmp_path).load("cpu")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(DataError, match="cannot be loaded"):
        Model(tmp_path).load("cpu")


def copied(model, folder):
    shutil.copytree(model.path, folder)
    return folder


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "2_Dense/pytorch_model.bin", "a/b/c/pytorch_model-00001-of-00002.bin"]
)
def test_pickled_weights_are_refused_however_deep(model, tmp_path, name):
    shutil.copytree(model.path, tmp_path / "model")
    if name == "pytorch_model.bin":
        (tmp_path / "model/model.safetensors").unlink()
    (tmp_path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "model" / name).write_bytes(b"never read")
    with pytest.raises(DataError, match="holds pickled weights, which are never loaded"):
        Model(tmp_path / "model").load("cpu")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"is_decoder": "maybe"}),
        ("config.json", {"hidden_act": [1]}),
        ("tokenizer.json", {"post_processor": [1]}),
        ("tokenizer.json", {"model": 5}),
        ("tokenizer_config.json", {"model_max_length": "far"}),
        ("tokenizer_config.json", {"pad_token": [1]}),
        ("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Normalize"}]),
        ("modules.json", []),
    ],
)
def test_a_file_of_a_model_that_holds_something_else_is_refused(model, tmp_path, file, change):
    folder = copied(model, tmp_path / "damaged")
    value = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**value, **change} if isinstance(change, dict) else change))
    with pytest.raises(DataError, match="cannot be loaded"):
        Model(folder).load("cpu")


def test_weights_that_lack_tensors_are_refused(model, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = copied(model, tmp_path / "lacking")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layer.1." not in name and "pooler" not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"its weights lack 16 tensors, which would be random: .*layer\.1\..*, …"):
        Model(folder).load("cpu")
    without_pooler = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(without_pooler, folder / "model.safetensors", metadata={"format": "pt"})
    assert Model(folder).load("cpu").encode([TEXT])[0] == pytest.approx(encoded(model), abs=1e-6)


@pytest.mark.parametrize("change", [{"vocab_size": 99}, {"intermediate_size": 99}, {"num_hidden_layers": 3}])
def test_weights_of_another_shape_than_declared_are_refused(model, tmp_path, change):
    shutil.copytree(model.path, tmp_path / "model")
    file = tmp_path / "model/config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(DataError):
        Model(tmp_path / "model").load("cpu")


@pytest.mark.parametrize("name", ["passage", "corpus"])
def test_a_prompt_saved_under_another_name_goes_before_documents(model, tmp_path, name):
    folder = copied(model, tmp_path / "named")
    file = folder / "config_sentence_transformers.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": {"query": "where ", name: "room "}}))
    loaded = Model(folder).load("cpu")
    assert loaded.prompts["document"] == "room "
    assert loaded.encode_document([TEXT])[0] == pytest.approx(loaded.encode([f"room {TEXT}"])[0], abs=1e-6)


def test_no_more_is_read_than_there_are_positions(model, tmp_path):
    from transformers import AutoTokenizer, RobertaConfig, RobertaModel

    with pytest.raises(DataError, match=r"model.max_length: 65 is more than the 64 tokens"):
        encoded(model, max_length=65)
    tokenizer = AutoTokenizer.from_pretrained(model.path)
    tokenizer.model_max_length = int(1e30)
    tokenizer.save_pretrained(tmp_path)
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
    config = RobertaConfig(vocab_size=len(tokenizer), max_position_embeddings=18, pad_token_id=0, **sizes)
    RobertaModel(config).save_pretrained(tmp_path)
    loaded = Model(tmp_path).load("cpu")
    assert loaded.max_seq_length == 17, "the first position belongs to padding"
    assert loaded.encode(["lamp " * 40]).shape == (1, 8)
