"""Training gives the same bits every time: on a CPU always, on a GPU where it is asked for."""

from __future__ import annotations

import json
import os

import pytest
import torch

from embedrun import RunRecord
from embedrun.context import Context
from embedrun.errors import StageError, UserError
from embedrun.hashing import file_digest
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.trainers import determinism
from embedrun_plugins.stages.trainers.determinism import reproducible
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

FLASH = "FLASH_ATTENTION_DETERMINISTIC"
RECIPE = """
name: exact
model: ./model
source: {{type: pairs, path: rows.jsonl, holdout: 0.5}}
loss: multiple_negatives_ranking
trainer: {{type: sentence_transformers, full_determinism: {asked}}}
evaluator: information_retrieval
"""


@pytest.fixture(autouse=True)
def _unset(monkeypatch):
    for name in (FLASH, determinism.VARIABLE):
        monkeypatch.setenv(name, "put back after the test")
        monkeypatch.delenv(name)


def algorithms() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "any"
    return "deterministic or a warning" if torch.is_deterministic_algorithms_warn_only_enabled() else "deterministic"


@pytest.mark.parametrize(
    ("on_cuda", "asked", "chosen", "flash"),
    [
        (False, False, "deterministic or a warning", None),
        (False, True, "deterministic or a warning", None),
        (True, False, "any", None),
        # With a warning only, torch's attention on a GPU would not be exact.
        (True, True, "deterministic", "1"),
    ],
)
def test_algorithms_are_chosen_while_training_and_left_as_they_were(on_cuda, asked, chosen, flash, monkeypatch):
    monkeypatch.setenv(determinism.VARIABLE, determinism.CHOSEN)
    with reproducible(on_cuda=on_cuda, wanted=asked):
        assert (algorithms(), os.environ.get(FLASH)) == (chosen, flash)
    assert (algorithms(), os.environ.get(FLASH)) == ("any", None)
    assert torch.utils.deterministic.fill_uninitialized_memory


def test_training_stops_where_torch_has_no_such_algorithm(monkeypatch):
    monkeypatch.setenv(determinism.VARIABLE, determinism.CHOSEN)
    with (
        pytest.raises(StageError, match=r"^full_determinism: put_ does not have a deterministic implementation; use"),
        reproducible(on_cuda=True, wanted=True),
    ):
        torch.zeros(3).put_(torch.tensor([0]), torch.tensor([1.0]))
    assert algorithms() == "any"


def test_where_cublas_was_not_told_in_time_training_does_not_begin(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    told = "set CUBLAS_WORKSPACE_CONFIG=:4096:8 before it starts"
    with pytest.raises(UserError, match=told), reproducible(on_cuda=True, wanted=True):
        pytest.fail("it began")


@pytest.mark.parametrize(("asked", "told"), [("true", ":4096:8"), ("false", None)])
def test_cublas_is_told_when_a_run_begins_that_asks_for_it(asked, told, project):
    project.write("model/config.json", "{}")
    rows = ({"anchor": f"where is it, {n}?", "positive": f"It is in room {n}."} for n in range(8))
    project.write("rows.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write("exact.yaml", RECIPE.format(asked=asked))
    ran = project.run("exact.yaml", "--until", "source")
    assert ran.code == 0, ran.err
    assert os.environ.get(determinism.VARIABLE) == told


@pytest.mark.parametrize("used", [False, True])
def test_once_cuda_is_in_use_it_is_too_late_to_tell(used, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used)
    lock = {"lock": {"recipe": {"trainer": {"full_determinism": True}}}}
    (tmp_path / "recipe.lock.json").write_text(json.dumps(lock), "utf-8")
    determinism.prepare(RunRecord(tmp_path, {}))
    assert determinism.is_deterministic() is not used


def test_a_choice_of_the_user_stands(tmp_path, monkeypatch):
    monkeypatch.setenv(determinism.VARIABLE, ":16:8")
    lock = {"lock": {"recipe": {"trainer": {"full_determinism": True}}}}
    (tmp_path / "recipe.lock.json").write_text(json.dumps(lock), "utf-8")
    determinism.prepare(RunRecord(tmp_path, {}))
    assert os.environ[determinism.VARIABLE] == ":16:8"
    assert determinism.is_deterministic()


def test_on_a_cpu_asking_for_it_changes_nothing(ranked, tiny, tmp_path):
    weights = []
    for asked in (False, True):
        out = tmp_path / str(asked)
        out.mkdir()
        ctx = Context(out=out, state=tmp_path / f"{asked}-state", device="cpu")
        trainer = SentenceTransformersTrainer(batch_size=4, save_strategy="no", full_determinism=asked)
        trained = trainer.run(ctx, ranked, tiny, MultipleNegativesRanking(), None)
        weights.append(file_digest(trained.path / "model.safetensors"))
    assert weights[0] == weights[1]
    assert "CUDA_LAUNCH_BLOCKING" not in os.environ
