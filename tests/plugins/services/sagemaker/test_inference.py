"""The script that answers in the Hugging Face container gives the model's vectors, from its files alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun.model_settings import ModelSettings, Prompts
from embedrun.testing import tiny_model
from embedrun_plugins.models.export import export
from embedrun_plugins.services.endpoints.parity.golden_texts import SHORT
from embedrun_plugins.services.sagemaker import archive, inference
from embedrun_plugins.services.sagemaker.local_check import Here, tried

TEXTS = [*SHORT, "A long text that goes on. " * 60]
PROMPTS = Prompts(query="find: ", document="passage: ")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model") / "tiny").path


def unpacked(path: Path, settings: ModelSettings, folder: Path) -> Model:
    model = Model(path, settings)
    export(model, folder)
    archive.add_code(folder)
    return model


@pytest.mark.parametrize(
    "settings",
    [
        ModelSettings(),
        ModelSettings(pooling="cls", prompts=PROMPTS),
        ModelSettings(pooling="lasttoken", max_length=12),
        ModelSettings(pooling="max", normalize=False),
        ModelSettings(pooling="mean_sqrt_len_tokens", normalize=False),
        ModelSettings(pooling="weightedmean", dimensions=16),
    ],
    ids=str,
)
def test_it_gives_the_vectors_of_the_model_for_every_text_and_role(tiny, tmp_path, settings):
    model = unpacked(tiny, settings, tmp_path / "model")
    loaded, script = model.load("cpu"), inference.model_fn(str(tmp_path / "model"))
    for role, encode in (("query", loaded.encode_query), ("document", loaded.encode_document)):
        named = {"prompt_name": role} if role in loaded.prompts else {}
        found = inference.predict_fn({"inputs": TEXTS, **named}, script)
        np.testing.assert_allclose(found, encode(TEXTS, show_progress_bar=False), atol=1e-5)
    assert tried(tmp_path / "model", model, None) > 0.9999


def test_dense_layers_and_prompts_that_are_not_pooled_are_read_from_the_files(tiny, tmp_path):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    dense = Dense(32, 16, activation_function=torch.nn.Tanh())
    modules = [SentenceTransformer(str(tiny))[0], Pooling(32, "mean", include_prompt=False), dense, Normalize()]
    SentenceTransformer(modules=modules).save(str(tmp_path / "dense"), create_model_card=False)
    model = unpacked(tmp_path / "dense", ModelSettings(prompts=PROMPTS), tmp_path / "exported")
    assert tried(tmp_path / "exported", model, None) > 0.9999


def test_a_request_says_how_it_is_answered(tiny, tmp_path):
    unpacked(tiny, ModelSettings(prompts=PROMPTS), tmp_path)
    script = inference.model_fn(str(tmp_path))
    one = inference.predict_fn({"inputs": "where is my parcel?"}, script)
    assert np.shape(one) == (1, 32)
    raw = inference.predict_fn({"inputs": ["a", "b"], "normalize": False}, script)
    cut = inference.predict_fn({"inputs": ["a", "b"], "normalize": True, "dimensions": 8, "truncate": True}, script)
    wanted = np.array(raw)[:, :8] / np.linalg.norm(np.array(raw)[:, :8], axis=1, keepdims=True)
    np.testing.assert_allclose(cut, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({}, "the body must be JSON"),
        ({"inputs": []}, "and not empty"),
        ({"inputs": [1]}, "a text or a list of texts"),
        (
            {"inputs": "a", "prompt_name": "question"},
            "`prompt_name` 'question' is not one of this model's: document, query",
        ),
        ({"inputs": "a", "dimensions": 33}, "between 1 and 32. Given: 33"),
        ({"inputs": "a", "normalise": True}, "unknown key 'normalise'"),
    ],
)
def test_a_request_that_it_cannot_answer_is_explained(tiny, tmp_path, request_, said):
    unpacked(tiny, ModelSettings(prompts=PROMPTS), tmp_path)
    with pytest.raises(ValueError, match=said):
        inference.predict_fn(request_, inference.model_fn(str(tmp_path)))


def test_a_model_that_it_cannot_run_is_refused_here_and_not_in_the_container(tiny, tmp_path):
    unpacked(tiny, ModelSettings(), tmp_path)
    modules = tmp_path / "modules.json"
    modules.write_text(modules.read_text().replace("Normalize", "WordWeights"))
    with pytest.raises(UserError, match="could not load the model: the module WordWeights is not known here"):
        Here.of(tmp_path)


def test_it_needs_torch_transformers_and_safetensors_alone():
    absent = ["sentence_transformers", "embedrun", "embedrun_plugins", "datasets", "accelerate", "boto3"]
    folder = str(Path(inference.__file__).parent)
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent})); sys.path.insert(0, {folder!r}); import inference"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_same_model_gives_the_same_archive(tiny, tmp_path):
    for name in ("first", "second"):
        unpacked(tiny, ModelSettings(), tmp_path / name)
        archive.pack(tmp_path / name, tmp_path / f"{name}.tar.gz")
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()
