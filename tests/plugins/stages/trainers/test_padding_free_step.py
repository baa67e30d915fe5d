"""The fast way through a step gives the loss that the plain one gives."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from embedrun.artifacts import Document, Judgement, Model, Query, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.losses.cached import CachedMultipleNegativesRanking
from embedrun_plugins.stages.losses.gist import CachedGistEmbed, GistEmbed
from embedrun_plugins.stages.losses.matryoshka import AdaptiveLayer, Matryoshka
from embedrun_plugins.stages.losses.orthogonal import GlobalOrthogonalRegularization
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.losses.scored_pairs import Softmax
from embedrun_plugins.stages.losses.triplets import BatchAllTriplet, Triplet
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from words import WORDS


@pytest.fixture(scope="module")
def uneven(tmp_path_factory) -> RetrievalSet:
    """Texts of very different lengths, some longer than the model's 64 tokens."""
    source = random.Random(3)

    def texts(most: int) -> list[str]:
        made = {" ".join(source.choices(WORDS, k=source.randint(1, most))) for _ in range(60)}
        return sorted(made)[:40]

    documents, queries = [Document.of(text) for text in texts(80)], [Query.of(text) for text in texts(12)]
    pairs = [Judgement(q.id, d.id) for q, d in zip(queries, documents, strict=True)]
    negatives = [Judgement(q.id, documents[n - 7].id, 0.5) for n, q in enumerate(queries)]
    folder = tmp_path_factory.mktemp("uneven") / "data"
    qrels = {"train": pairs, "dev": pairs[:8]}
    return RetrievalSet.write(folder, documents=documents, queries=queries, qrels=qrels, negatives=negatives)


@pytest.fixture
def curve(tmp_path, uneven, tiny):
    """Train, and return each step's loss and what was noted."""

    def run(name, loss=None, model=tiny, **options):
        out = tmp_path / name / "out"
        out.mkdir(parents=True)
        notes = {}
        ctx = Context(out=out, state=tmp_path / name / "state", device="cpu", on_note=notes.__setitem__)
        chosen = {"batch_size": 8, "max_steps": 12, "learning_rate": 1e-3, "dropout": 0.0, "logging_steps": 1}
        trainer = SentenceTransformersTrainer(**{**chosen, "save_strategy": "no", **options})
        trained = trainer.run(ctx, uneven, model, loss or MultipleNegativesRanking(), None)
        history = json.loads((trained.path / "training_history.json").read_text("utf-8"))["log"]
        return [entry["loss"] for entry in history if "loss" in entry], notes

    return run


def judged(guide: Model) -> dict:
    ranking = MultipleNegativesRanking()
    return {
        "ranking": ranking,
        "matryoshka": Matryoshka(dims=(32, 16, 8), inner=ranking),
        "cached": CachedMultipleNegativesRanking(mini_batch_size=3),
        "gist": GistEmbed(guide=str(guide.path), temperature=0.05),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ranking", "matryoshka", "cached", "gist"])
def test_fifty_steps_lose_the_same(name, curve, tiny):
    loss = judged(tiny)[name]
    fast, notes = curve("fast", loss, max_steps=50)
    plain, _ = curve("plain", loss, max_steps=50, grouping="off")
    assert len(fast) == 50
    assert fast[0] - fast[-1] > 0.1
    assert fast == pytest.approx(plain, abs=1e-4)
    assert "batches are padded" not in notes


OTHERS = {
    "cached matryoshka": lambda _: Matryoshka(dims=(32, 8), inner=CachedMultipleNegativesRanking(mini_batch_size=3)),
    "cached gist": lambda guide: CachedGistEmbed(guide=str(guide.path), mini_batch_size=3, temperature=0.05),
    "triplet": lambda _: Triplet(),
    "all triplets": lambda _: BatchAllTriplet(),
    "orthogonal": lambda _: GlobalOrthogonalRegularization(inner=MultipleNegativesRanking()),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_losses_lose_the_same(name, curve, tiny):
    loss = OTHERS[name](tiny)
    fast, notes = curve("fast", loss)
    assert fast == pytest.approx(curve("plain", loss, grouping="off")[0], abs=1e-4)
    assert "batches are padded" not in notes


@pytest.mark.parametrize(
    "options",
    [
        {"gradient_checkpointing": True},
        {"gradient_accumulation_steps": 2},
        {"dataloader_num_workers": 1},
        {"eval_strategy": "steps", "eval_steps": 4},
        {"lora": {"r": 4}},
    ],
    ids=str,
)
def test_other_ways_to_train_lose_the_same(options, curve):
    assert curve("fast", **options)[0] == pytest.approx(curve("plain", grouping="off", **options)[0], abs=1e-4)


def test_half_precision_loses_about_the_same(curve):
    assert curve("fast", bf16=True)[0] == pytest.approx(curve("plain", grouping="off", bf16=True)[0], abs=0.05)


def test_losses_that_look_at_more_than_vectors_are_fed_padded_batches(curve):
    loss = AdaptiveLayer(inner=MultipleNegativesRanking(), n_layers_per_step=-1)
    fast, notes = curve("fast", loss)
    assert fast == curve("plain", loss, grouping="off")[0]
    assert "AdaptiveLayerLoss" in notes["batches are padded"]


TOGETHER = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, sys.argv[4])
from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining
from test_padding_free_step import judged
data, model, folder = map(Path, sys.argv[1:4])
curves = {}
for name, loss in judged(Model(model)).items():
    for grouping in ("auto", "off"):
        here = folder / f"{name}-{grouping}"
        (here / "out").mkdir(parents=True, exist_ok=True)
        ctx = Context(out=here / "out", state=here / "state", device="cpu")
        options = {"batch_size": 8, "max_steps": 50, "learning_rate": 1e-3, "dropout": 0.0, "logging_steps": 1}
        trainer = SentenceTransformersTrainer(**options, grouping=grouping, save_strategy="no", processes=2)
        SentenceTransformersTraining(trainer, ctx, RetrievalSet(data), Model(model), loss, None).run()
"""


def test_fifty_steps_of_two_processes_lose_the_same(tmp_path, uneven, tiny):
    script = tmp_path / "together.py"
    script.write_text(TOGETHER)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(script)]
    given = [str(uneven.path), str(tiny.path), str(tmp_path), str(Path(__file__).parent)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*launch, *given], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]

    def losses(name):
        log = json.loads((tmp_path / name / "out/training_history.json").read_text("utf-8"))["log"]
        return [entry["loss"] for entry in log if "loss" in entry]

    for name in judged(tiny):
        assert len(losses(f"{name}-auto")) == 50
        assert losses(f"{name}-auto") == pytest.approx(losses(f"{name}-off"), abs=1e-4), name


def test_texts_are_tokenized_once_however_many_epochs(curve, monkeypatch):
    from sentence_transformers.base.modules import Transformer

    calls = []
    whole = Transformer.preprocess

    def counted(self, inputs, **given):
        calls.append(len(inputs))
        return whole(self, inputs, **given)

    monkeypatch.setattr(Transformer, "preprocess", counted)
    curve("short", max_steps=2)
    once = sum(calls)
    calls.clear()
    curve("long", max_steps=12)
    assert sum(calls) == once


def test_losses_that_remember_weights_are_trained_fast(curve, tmp_path, uneven, tiny):
    from dataclasses import replace

    labelled = [replace(j, score=float(n % 2)) for n, j in enumerate(uneven.qrels("train"))]
    queries, documents = list(uneven.queries.values()), list(uneven.documents.values())
    data = RetrievalSet.write(tmp_path / "labelled", documents=documents, queries=queries, qrels={"train": labelled})
    (tmp_path / "out").mkdir()
    notes = {}
    ctx = Context(out=tmp_path / "out", state=tmp_path / "state", device="cpu", on_note=notes.__setitem__)
    SentenceTransformersTrainer(batch_size=8, save_strategy="no").run(ctx, data, tiny, Softmax(), None)
    assert "batches are padded" not in notes


def test_evaluation_during_training_goes_its_usual_way(tmp_path, uneven, tiny):
    (tmp_path / "out").mkdir()
    ctx = Context(out=tmp_path / "out", state=tmp_path / "state", device="cpu")
    seen = []

    class Judge:
        def score(self, model, data, split):
            assert not model.training
            del data, split
            fresh = tiny.load("cpu")
            fresh.load_state_dict(model.state_dict())
            texts = ["lamp", "river stone cloud copper garden"]
            seen.append(bool((model.encode(texts) == fresh.encode(texts)).all()))
            return {"ndcg@10": 0.5}

    options = {"batch_size": 8, "epochs": 2, "eval_strategy": "epoch", "save_strategy": "no"}
    SentenceTransformersTrainer(**options).run(ctx, uneven, tiny, MultipleNegativesRanking(), Judge())
    assert seen == [True, True]


def test_dropout_draws_again_at_every_step_and_the_same_in_every_run(curve):
    first, second = curve("first", dropout=0.2)[0], curve("second", dropout=0.2)[0]
    assert first == second != curve("without")[0]
    assert not torch.are_deterministic_algorithms_enabled()
