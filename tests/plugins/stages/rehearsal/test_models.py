"""Which model a rehearsal starts from."""

from __future__ import annotations

import json
import shutil

import pytest

from embedrun import Model, Rehearsal
from embedrun.errors import UserError
from embedrun.model_settings import ModelChoice
from embedrun.registry import Registry
from embedrun.testing import tiny_model
from embedrun_plugins.cli.rehearsal.rehearsed_recipe import rehearsal_of
from embedrun_plugins.services.tei import export
from embedrun_plugins.stages.losses.gist import GistEmbed
from embedrun_plugins.stages.losses.matryoshka import Matryoshka
from embedrun_plugins.stages.rehearsal import base_models, random_models, stand_in_models


@pytest.fixture
def basis(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "scratch").mkdir()

    def of(choice, *dimensions):
        return base_models.basis(choice, Registry(), tmp_path, tmp_path / "scratch/model", dimensions)

    return of


def test_a_small_model_that_is_here_is_taken_as_it_is(tmp_path, basis):
    tiny_model(tmp_path / "tiny")
    found = basis(ModelChoice(id="tiny", dtype="bfloat16", attention="flash_attention_2"))
    assert found.choice == ModelChoice(id="tiny", dtype="float32")
    assert "flash_attention_2 is left out" in found.notes[0].sentence


def test_a_large_model_becomes_one_of_its_shape_with_its_own_other_files(tmp_path, basis, monkeypatch):
    tiny_model(tmp_path / "large", pooling="max")
    config = json.loads((tmp_path / "large/config.json").read_text("utf-8"))
    (tmp_path / "large/config.json").write_text(json.dumps(config | {"num_hidden_layers": 24}), "utf-8")
    monkeypatch.setattr(base_models, "SMALL", 0)
    found = basis(ModelChoice(id="large"), 768)
    assert "of its shape" in found.notes[0].sentence
    made = Model(tmp_path / "scratch/model").load("cpu")
    assert made.get_embedding_dimension() == 32
    assert made.transformers_model.config.num_hidden_layers == 2
    with pytest.raises(UserError, match="TEI pools by cls, mean or lasttoken"):
        export.export(Model(tmp_path / "scratch/model"), tmp_path / "out")


def test_a_model_that_stays_large_with_two_layers_becomes_a_random_one_of_its_size(tmp_path, basis, monkeypatch):
    tiny_model(tmp_path / "large")
    monkeypatch.setattr(base_models, "SMALL", 0)
    monkeypatch.setattr(random_models, "_MOST", 1_000)
    monkeypatch.setattr(base_models, "LEAST", 16)
    found = basis(ModelChoice(id="large"))
    assert "large cannot be made small: a random BERT of 32 dimensions is used instead" in found.notes[0].sentence


def test_a_model_that_is_not_here_becomes_a_random_one_of_the_size_that_is_asked_for(tmp_path, basis):
    found = basis(ModelChoice(id="someone/somewhere", revision="main", max_length=600), 48, 96)
    assert found.notes[0].unsure
    assert "someone/somewhere is not here" in found.notes[0].sentence
    assert found.choice.revision is None
    made = Model(tmp_path / "scratch/model", found.choice.settings).load("cpu")
    assert made.encode_query(["where is it?"]).shape == (1, 96)
    assert made.max_seq_length == 600


def test_a_name_that_nearly_is_that_of_an_installed_model_is_asked_about(basis):
    if not Registry().local_models():
        pytest.skip("no model is installed")
    found = basis(ModelChoice(id="sentence-transformers/all-MiniLM-L6-v3"))
    assert "did you mean 'sentence-transformers/all-MiniLM-L6-v2'" in found.notes[0].sentence


@pytest.mark.parametrize("name", ["./gone", "/gone/too", "no such: name", "a/b/c"])
def test_what_can_be_no_model_is_refused(basis, name):
    with pytest.raises(UserError, match=r"no such folder|neither a folder here nor a hub id"):
        basis(ModelChoice(id=name))


def test_a_folder_without_weights_is_left_to_be_refused_as_in_a_run(tmp_path, basis):
    tiny_model(tmp_path / "tiny")
    (tmp_path / "tiny/model.safetensors").unlink()
    shutil.rmtree(tmp_path / "tiny-plain")
    assert basis(ModelChoice(id="tiny")).choice.id == "tiny"


def test_a_cross_encoder_that_is_not_here_gives_one_score_for_a_pair(tmp_path, basis):
    from sentence_transformers import CrossEncoder

    made = stand_in_models.model_for("guard", "cross-encoder/none", None, Rehearsal(tmp_path), scores=True)
    assert CrossEncoder(made, device="cpu").predict([("where?", "here")]).shape == (1,)


def test_a_small_guide_that_is_installed_is_taken_from_where_it_is(tmp_path, minilm):
    guide = "sentence-transformers/all-MiniLM-L6-v2"
    rehearsal = Rehearsal(tmp_path)
    assert GistEmbed(guide=guide).rehearsal(rehearsal).guide == str(minilm.resolve())
    assert not rehearsal.notes


def test_a_guide_within_another_loss_is_replaced_and_told(tmp_path, basis):
    (tmp_path / "stage").mkdir()
    loss = Matryoshka(dims=(32,), inner=GistEmbed(guide="someone/guide"))
    rehearsal = Rehearsal(tmp_path / "stage")
    instead = rehearsal_of(loss, rehearsal)
    assert "inner: guide: someone/guide is not here" in rehearsal.notes[0].sentence
    instead.build(tiny_model(tmp_path / "tiny").load("cpu"))
