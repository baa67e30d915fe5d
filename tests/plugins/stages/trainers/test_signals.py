"""SIGTERM ends a training with a checkpoint, wherever it is, and the next one goes on as if there had been none."""

from __future__ import annotations

import os
import signal

import pytest

from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.hashing import file_digest
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.trainers import checkpoints
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer


@pytest.fixture
def fit(tmp_path, ranked, tiny):
    def run(name, stop_at=None, **options):
        """Train with checkpoints at the ends of epochs of five steps, a minute apart: none before the last."""

        def progress(_, step, __):
            if step == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)

        (tmp_path / name / "out").mkdir(parents=True, exist_ok=True)
        ctx = Context(tmp_path / name / "out", tmp_path / name / "state", device="cpu", on_progress=progress)
        trainer = SentenceTransformersTrainer(batch_size=2, epochs=3, logging_steps=4, learning_rate=1e-3, **options)
        return trainer.run(ctx, ranked, tiny, MultipleNegativesRanking(), None)

    return run


def digests(model):
    return [file_digest(model.path / name) for name in ("model.safetensors", "training_history.json")]


@pytest.mark.parametrize("step", [1, 3, 5, 14, 15])
def test_a_stopped_training_goes_on_to_the_same_weights_and_the_same_log(step, fit, tmp_path):
    undisturbed = digests(fit("undisturbed"))
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit("stopped", stop_at=step)
    assert signal.getsignal(signal.SIGTERM) is before
    (checkpoint,) = checkpoints.checkpoints(tmp_path / "stopped/state/checkpoints")
    assert checkpoint.name == f"checkpoint-{step}"
    assert digests(fit("stopped")) == undisturbed


def test_a_checkpoint_of_which_files_are_missing_does_not_count(fit, tmp_path):
    """As where a copy of it broke off."""
    with pytest.raises(KeyboardInterrupt):
        fit("stopped", stop_at=3)
    (checkpoint,) = checkpoints.checkpoints(tmp_path / "stopped/state/checkpoints")
    (checkpoint / "optimizer.pt").unlink()
    assert checkpoints.checkpoints(tmp_path / "stopped/state/checkpoints") == []
    assert digests(fit("stopped")) == digests(fit("undisturbed"))


def test_torchrun_is_not_needed(fit, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"run embedrun without torchrun, and set trainer.processes"):
        fit("run")


def test_machines_share_processes_evenly():
    assert Nodes(count=2).share(4) == 2
    with pytest.raises(UserError, match=r"trainer.processes: 3 .* 2 machines; set a multiple of 2"):
        Nodes(count=2).share(3)
