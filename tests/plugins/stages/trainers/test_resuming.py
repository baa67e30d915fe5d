"""A killed training goes on and ends with the weights of one that was not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import suppress

import pytest
import safetensors.torch
import torch

from embedrun.context import Context
from embedrun.hashing import file_digest
from embedrun_plugins.stages.losses.matryoshka import Matryoshka
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.losses.scored_pairs import Softmax
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer
from embedrun_plugins.stages.trainers.training_options import Lora

EVERY_STEP = {"save_strategy": "steps", "save_steps": 1, "save_min_seconds": 0}
SHORT = {"batch_size": 4, "epochs": 3, "logging_steps": 2, **EVERY_STEP}


class Killed(BaseException):
    """Stops everything, as a kill would."""


class Judge:
    """An evaluator that needs no call count, so that a resumed training sees what an undisturbed one saw."""

    def score(self, model, data, split):
        del data, split
        total = sum(float(parameter.detach().double().sum()) for parameter in model.parameters())
        return {"ndcg@10": abs(total * 1e4) % 1}


@pytest.fixture
def fit(tmp_path, ranked, tiny):
    def run(name, kill_at=None, loss=None, dev=None, data=ranked, **options):
        def progress(_, step, __):
            if step == kill_at:
                raise Killed

        return train(tmp_path / name, progress, tiny, data, loss or MultipleNegativesRanking(), dev, **options)

    return run


def train(folder, progress, model, data, loss, dev=None, **options):
    (folder / "out").mkdir(parents=True, exist_ok=True)
    ctx = Context(out=folder / "out", state=folder / "state", device="cpu", on_progress=progress)
    return SentenceTransformersTrainer(**{**SHORT, **options}).run(ctx, data, model, loss, dev)


def digests(model):
    return [file_digest(model.path / name) for name in ("model.safetensors", "training_history.json")]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, ranked, tiny):
    """The digests of a training with no options that nothing disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return digests(train(folder, lambda *_: None, tiny, ranked, MultipleNegativesRanking()))


CASES = {
    "plain": {},
    "at random": {"batch_sampler": "batch_sampler"},
    "accumulating": {"gradient_accumulation_steps": 2, "epochs": 6},
    "up to a step": {"max_steps": 8},
    "by epoch": {"save_strategy": "epoch", "save_steps": None},
    "low rank": {"lora": Lora(r=2), "learning_rate": 1e-2},
    "cosine, sgd": {"lr_scheduler_type": "cosine", "optim": "sgd", "learning_rate": 0.1},
    "some dimensions": {"loss": Matryoshka(dims=(32, 16, 8), n_dims_per_step=1, inner=MultipleNegativesRanking())},
    "best": {
        "dev": Judge(),
        "eval_strategy": "steps",
        "eval_steps": 1,
        "eval_on_start": True,
        "load_best_model_at_end": True,
        "metric_for_best_model": "ndcg@10",
    },
    "early stop": {
        "dev": Judge(),
        "eval_strategy": "steps",
        "eval_steps": 1,
        "metric_for_best_model": "ndcg@10",
        "early_stopping_patience": 2,
        "epochs": 10,
    },
}


@pytest.mark.parametrize("name", CASES)
def test_a_killed_training_ends_as_if_it_had_not_been(name, fit):
    undisturbed = digests(fit("undisturbed", **CASES[name]))
    for step in (2, 5):
        with suppress(Killed):
            fit(f"killed at {step}", kill_at=step, **CASES[name])
        assert digests(fit(f"killed at {step}", **CASES[name])) == undisturbed, step


def test_only_the_steps_after_the_last_checkpoint_are_trained_again(fit, monkeypatch):
    from embedrun_plugins.stages.trainers.checkpoints import ResumableTrainer

    steps = []
    whole = ResumableTrainer.training_step

    def counted(self, *given, **options):
        steps.append(self.state.global_step)
        return whole(self, *given, **options)

    monkeypatch.setattr(ResumableTrainer, "training_step", counted)
    with pytest.raises(Killed):
        fit("killed", kill_at=5)
    assert steps == [0, 1, 2, 3, 4]
    fit("killed")
    assert steps[5:] == [4, 5, 6, 7, 8]


def test_weights_of_the_loss_itself_go_on_too(fit, graded):
    options = {"loss": Softmax(), "data": graded, "learning_rate": 1e-2}
    undisturbed = digests(fit("undisturbed", **options))
    with pytest.raises(Killed):
        fit("killed", kill_at=5, **options)
    assert digests(fit("killed", **options)) == undisturbed


@pytest.mark.parametrize("call", [2, 3, 8])
@pytest.mark.parametrize("place", ["torch.save", "safetensors", "shutil.rmtree"])
def test_a_kill_in_the_middle_of_a_checkpoint_does_no_harm(place, call, fit, undisturbed, monkeypatch):
    from embedrun_plugins.stages.trainers import checkpoints

    owner, name = {
        "torch.save": (torch, "save"),
        "safetensors": (checkpoints, "save_file"),
        "shutil.rmtree": (shutil, "rmtree"),
    }[place]
    whole, calls = getattr(owner, name), []

    def broken(first, *rest, **options):
        calls.append(first)
        if len(calls) == call:
            raise Killed
        return whole(first, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, broken)
        with pytest.raises(Killed):
            fit("killed")
    assert digests(fit("killed")) == undisturbed


def test_a_kill_after_training_trains_nothing_again(fit, undisturbed, tmp_path, monkeypatch):
    from embedrun_plugins.stages.trainers import sentence_transformers_run

    def broken(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(sentence_transformers_run, "write_history", broken)
        with pytest.raises(Killed):
            fit("killed")
    for path in (tmp_path / "killed/out").rglob("*"):
        if path.is_file():
            path.unlink()
    steps = []
    monkeypatch.setattr(sentence_transformers_run.ResumableTrainer, "training_step", lambda *_, **__: steps.append(1))
    assert digests(fit("killed")) == undisturbed
    assert not steps


def test_a_checkpoint_holds_no_pickled_arguments_and_old_ones_are_deleted(fit, tmp_path):
    fit("run", save_total_limit=2)
    found = sorted(path.name for path in (tmp_path / "run/state/checkpoints").glob("checkpoint-*"))
    assert found == ["checkpoint-8", "checkpoint-9"]
    last = tmp_path / "run/state/checkpoints/checkpoint-9"
    assert not list(last.glob("training_args.bin"))
    assert json.loads((last / "complete.json").read_text("utf-8"))["finished"]
    for file in last.glob("*.p*t*"):
        if file.name != "rng_state.pth":
            torch.load(file, weights_only=True)
    assert safetensors.torch.load_file(last / "trained.safetensors")


def test_only_what_is_trained_is_in_a_checkpoint(fit, tmp_path):
    fit("run", lora=Lora(r=2))
    saved = safetensors.torch.load_file(tmp_path / "run/state/checkpoints/checkpoint-9/trained.safetensors")
    assert saved
    assert all("lora_" in name for name in saved)


def test_checkpoints_come_no_closer_than_asked_for_and_do_not_change_the_result(fit, tmp_path):
    often = digests(fit("often"))
    seldom = digests(fit("seldom", save_min_seconds=1000))
    assert not list((tmp_path / "seldom/state/checkpoints").glob("checkpoint-*"))
    assert often == seldom


KILLING = """
import os, signal, sys
from pathlib import Path
import torch
import embedrun_plugins.stages.trainers.sentence_transformers_run
from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

data, model, folder = map(Path, sys.argv[1:])


def train(name, kill_at=None, torn=None):
    torch.set_num_threads(1)
    if torn:
        from embedrun_plugins.stages.trainers import checkpoints
        whole = checkpoints.save_file

        def half(tensors, file):
            whole(tensors, file)
            if f"checkpoint-{torn}" in str(file):
                os.truncate(file, 1000)
                os.kill(os.getpid(), signal.SIGKILL)

        checkpoints.save_file = half

    def progress(_, step, __):
        if step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    (folder / name / "out").mkdir(parents=True, exist_ok=True)
    ctx = Context(out=folder / name / "out", state=folder / name / "state", device="cpu", on_progress=progress)
    options = {"batch_size": 4, "epochs": 3, "save_strategy": "steps", "save_steps": 1, "save_min_seconds": 0}
    SentenceTransformersTrainer(**options).run(ctx, RetrievalSet(data), Model(model), MultipleNegativesRanking(), None)


for name, moments in {"none": [{}], "two": [{"kill_at": 2}, {"kill_at": 6}, {}], "torn": [{"torn": 4}, {}]}.items():
    for moment in moments:
        child = os.fork()
        if not child:
            train(name, **moment)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status) == bool(moment), (name, moment, status)
"""


@pytest.mark.slow
def test_kill_9_does_no_harm(tmp_path, ranked, tiny):
    script = tmp_path / "killing.py"
    script.write_text(KILLING)
    given = [str(ranked.path), str(tiny.path), str(tmp_path)]
    done = subprocess.run([sys.executable, str(script), *given], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = {name: file_digest(tmp_path / name / "out/model.safetensors") for name in ("none", "two", "torn")}
    assert len(set(found.values())) == 1, found
