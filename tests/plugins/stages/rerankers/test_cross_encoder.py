"""Rerankers train as sentence-transformers' own trainer does, go on after a kill, and score as their model does."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers.cross_encoder import CrossEncoder, CrossEncoderTrainer

from embedrun.artifacts import Model
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun.hashing import file_digest
from embedrun.model_settings import ModelSettings
from embedrun_plugins.models import cross_encoders
from embedrun_plugins.models.export import export
from embedrun_plugins.stages import STAGES
from embedrun_plugins.stages.reranker_losses.lists import Lambda
from embedrun_plugins.stages.reranker_losses.pairs import AnswerRanking, BinaryCrossEntropy
from embedrun_plugins.stages.rerankers.cross_encoder import CrossEncoderReranker
from embedrun_plugins.stages.trainers import rows, training_arguments
from embedrun_plugins.stages.trainers.cross_encoder_run import CrossEncoderTraining
from embedrun_plugins.stages.trainers.dropout import set_dropout
from embedrun_plugins.stages.trainers.lora import Lora
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.training_rows import TrainingData

OPTIONS = {"batch_size": 4, "learning_rate": 1e-3, "logging_steps": 1}
LOSSES = [reference for reference in STAGES if reference.kind == "reranker.loss"]
PAIRS = [
    ("where is the lamp?", "The lamp is kept in room 1 of house 2."),
    ("where is the river?", "The stone is kept in room 3."),
    ("where is the boat?", "The boat is kept in room 4 of house 1, where the lamp is, and the stone."),
    ("stone", "room"),
]


@pytest.fixture(scope="module")
def encoder(tiny) -> Path:
    """A plain encoder, without a head that scores pairs."""
    return tiny.path.with_name(f"{tiny.path.name}-plain")


def train(folder, encoder, data, loss, progress=lambda *_: None, **options):
    (folder / "out").mkdir(parents=True, exist_ok=True)
    stage = CrossEncoderReranker(
        model=str(encoder), loss=loss, trainer=SentenceTransformersTrainer(**{**OPTIONS, **options})
    )
    return stage.run(Context(folder / "out", folder / "state", device="cpu", on_progress=progress, offline=True), data)


def history(model):
    log = json.loads((model.path / "training_history.json").read_text())["log"]
    return [entry["loss"] for entry in log if "loss" in entry]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory, encoder, ranked):
    return train(tmp_path_factory.mktemp("tuned"), encoder, ranked, BinaryCrossEntropy(), max_steps=4)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), Lambda(), AnswerRanking(num_negatives=2)], ids=lambda x: x.type)
def test_twenty_steps_have_the_losses_of_sentence_transformers_trainer(tmp_path, encoder, ranked, loss):
    ours = history(train(tmp_path / "ours", encoder, ranked, loss, max_steps=20, dropout=0.0))
    options = SentenceTransformersTrainer(**OPTIONS, max_steps=20, save_strategy="no")
    arguments = training_arguments.build(
        options, folder=tmp_path / "theirs", seed=42, device="cpu", rows=loss.fed(), of=CrossEncoderTraining.arguments
    )
    transformers.set_seed(42)
    model = cross_encoders.load(Model(encoder), "cpu", seed=42)
    set_dropout(model, 0.0)
    from datasets import Dataset

    table = Dataset.from_dict(dict(rows.make(TrainingData(ranked, loss)).columns))
    trainer = CrossEncoderTrainer(model=model, args=arguments, train_dataset=table, loss=loss.build(model))
    trainer.train()
    theirs = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(ours) == len(theirs) == 20
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


@pytest.mark.parametrize("reference", LOSSES, ids=lambda reference: reference.type)
def test_every_loss_trains(tmp_path, encoder, ranked, reference):
    module, _, name = reference.target.partition(":")
    loss = getattr(import_module(module), name)()
    losses = history(train(tmp_path, encoder, ranked, loss, max_steps=2))
    assert len(losses) == 2
    assert np.isfinite(losses).all()


class Killed(BaseException):
    """Stops everything, as a kill would."""


@pytest.mark.parametrize("options", [{}, {"lora": Lora(r=2)}], ids=["plain", "low rank"])
def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path, encoder, ranked, options):
    def stop(_, step, __):
        if step == 3:
            raise Killed

    options = {"max_steps": 5, "save_strategy": "steps", "save_steps": 1, "save_min_seconds": 0, **options}
    whole = train(tmp_path / "whole", encoder, ranked, BinaryCrossEntropy(), **options)
    with pytest.raises(Killed):
        train(tmp_path / "killed", encoder, ranked, BinaryCrossEntropy(), stop, **options)
    again = train(tmp_path / "killed", encoder, ranked, BinaryCrossEntropy(), **options)
    for name in ("model.safetensors", "training_history.json"):
        assert file_digest(again.path / name) == file_digest(whole.path / name)


@pytest.mark.slow
def test_two_processes_train_together(tmp_path, encoder, ranked):
    model = train(tmp_path, encoder, ranked, BinaryCrossEntropy(), max_steps=2, processes=2)
    assert len(history(model)) == 2
    assert cross_encoders.load(model, "cpu").num_labels == 1


ARCHITECTURES = {
    "bert": {},
    "roberta": {"pad_token_id": 1, "max_position_embeddings": 66},
    "xlm-roberta": {"pad_token_id": 1, "max_position_embeddings": 66},
    "camembert": {"pad_token_id": 1, "max_position_embeddings": 66},
    "electra": {"embedding_size": 32},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "modernbert": {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3},
}


@pytest.fixture
def random_reranker(tmp_path, encoder):
    def make(kind):
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        own = ARCHITECTURES[kind]
        config = transformers.AutoConfig.for_model(
            kind, **{"vocab_size": 200, "max_position_embeddings": 64, **({} if "dim" in own else shape), **own}
        )
        config.num_labels = 1
        torch.manual_seed(1)
        folder = tmp_path / kind
        transformers.AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(encoder, model_max_length=64).save_pretrained(folder)
        return cross_encoders.load(Model(folder), "cpu")

    return make


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_scores_without_padding_are_those_of_predict(random_reranker, kind):
    model = random_reranker(kind)
    expected = model.predict(PAIRS)
    assert len(np.unique(expected)) == len(PAIRS)
    scores = cross_encoders.LoadedReranker(model, "it").scores(PAIRS)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    np.testing.assert_array_equal(model.predict(PAIRS), expected)


def test_a_decoder_scores_by_its_yes_and_no_and_can_be_trained(tmp_path, encoder, ranked):
    tokenizer = transformers.AutoTokenizer.from_pretrained(encoder)
    tokenizer.add_tokens(["yes", "no"])
    config = transformers.Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        intermediate_size=64,
        pad_token_id=0,
    )
    torch.manual_seed(1)
    folder = tmp_path / "decoder"
    transformers.Qwen3ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    model = cross_encoders.load(Model(folder, ModelSettings(max_length=64)), "cpu")
    expected = model.predict(PAIRS)
    scores = cross_encoders.LoadedReranker(model, "it").scores(PAIRS)
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    trained = train(tmp_path / "run", folder, ranked, BinaryCrossEntropy(), max_steps=2)
    assert len(history(trained)) == 2
    assert not np.allclose(CrossEncoder(str(trained.path), device="cpu").predict(PAIRS), expected, atol=1e-6)


def test_an_export_gives_the_same_scores_in_plain_transformers_and_sentence_transformers(tmp_path, tuned):
    export(tuned, tmp_path / "export")
    assert not (tmp_path / "export" / "modules.json").exists()
    expected = cross_encoders.load(tuned, "cpu").predict(PAIRS)
    again = CrossEncoder(str(tmp_path / "export"), device="cpu", local_files_only=True)
    np.testing.assert_allclose(again.predict(PAIRS), expected, atol=1e-6)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "export")
    plain = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "export")
    features = tokenizer(
        [q for q, _ in PAIRS], [t for _, t in PAIRS], padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        logits = plain(**features).logits[:, 0]
    np.testing.assert_allclose(torch.sigmoid(logits).numpy(), expected, atol=1e-6)
    export(tuned, tmp_path / "twice")
    for file in (tmp_path / "export").iterdir():
        assert file.read_bytes() == (tmp_path / "twice" / file.name).read_bytes()


def test_a_model_that_gives_several_numbers_or_has_no_head_is_refused(tmp_path, encoder):
    config = transformers.AutoConfig.from_pretrained(encoder)
    config.num_labels = 3
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "classes")
    with pytest.raises(DataError, match="gives 3 numbers for a pair"):
        cross_encoders.load(Model(tmp_path / "classes"), "cpu", seed=1)
    with pytest.raises(DataError, match="has no head that scores pairs"):
        cross_encoders.load(Model(encoder), "cpu")
