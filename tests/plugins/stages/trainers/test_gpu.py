"""A GPU learns and scores what the CPU does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from embedrun.context import Context
from embedrun_plugins.stages.evaluators.information_retrieval import InformationRetrieval
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

GPU = "cuda"
STEPS = {"batch_size": 4, "max_steps": 10, "learning_rate": 1e-3, "dropout": 0.0, "logging_steps": 1}
TEXTS = ["The lamp is kept in room 1.", "where is the river?"]


@pytest.mark.gpu
@pytest.mark.parametrize(("precision", "tolerance"), [({}, 1e-3), ({"bf16": True}, 5e-2)], ids=["fp32", "bf16"])
def test_training_and_evaluation_on_a_gpu_give_what_the_cpu_gives(tmp_path, ranked, tiny, precision, tolerance):
    curves, vectors, scores = {}, {}, {}
    for device in ("cpu", GPU):
        ctx = Context(out=tmp_path / device / "out", state=tmp_path / device / "state", device=device)
        ctx.out.mkdir(parents=True)
        trainer = SentenceTransformersTrainer(**STEPS, save_strategy="no", **(precision if device == GPU else {}))
        trained = trainer.run(ctx, ranked, tiny, MultipleNegativesRanking(), None)
        log = json.loads((trained.path / "training_history.json").read_text("utf-8"))["log"]
        curves[device] = [entry["loss"] for entry in log if "loss" in entry]
        model = trained.load(device)
        assert model.device.type == device
        vectors[device] = model.encode(TEXTS)
        scores[device] = InformationRetrieval().score(model, ranked, "test")
    assert len(curves[GPU]) == STEPS["max_steps"]
    np.testing.assert_allclose(curves[GPU], curves["cpu"], atol=tolerance, rtol=tolerance)
    np.testing.assert_allclose(vectors[GPU], vectors["cpu"], atol=tolerance)
    assert scores[GPU].keys() == scores["cpu"].keys()
    assert dict(scores[GPU]) == pytest.approx(dict(scores["cpu"]), abs=0.15 if precision else 1e-6)
