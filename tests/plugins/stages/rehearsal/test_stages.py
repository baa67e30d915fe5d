"""What the other stages run in a rehearsal."""

from __future__ import annotations

import pytest

from embedrun import Context, Rehearsal, RetrievalSet
from embedrun.testing import small_set, tiny_model
from embedrun_plugins.stages.deployers.directory import Directory
from embedrun_plugins.stages.deployers.hub import HubDeployer
from embedrun_plugins.stages.filters.length import Length
from embedrun_plugins.stages.mergers.linear import Linear
from embedrun_plugins.stages.mergers.search import Search
from embedrun_plugins.stages.miners.dense import Dense
from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer


@pytest.fixture
def ctx(tmp_path):
    (tmp_path / "out").mkdir()
    warnings: list[str] = []
    return Context(out=tmp_path / "out", state=tmp_path, device="cpu", offline=True, on_warning=warnings.append)


def test_a_filter_that_would_leave_nothing_takes_nothing_out(ctx, tmp_path):
    data = small_set(tmp_path / "data")
    made = Length(queries={"min": 500}).rehearsal(Rehearsal(tmp_path)).run(ctx, data)
    assert made.relevant("train") == data.relevant("train")
    assert RetrievalSet(ctx.out).negatives() == data.negatives()


def test_a_filter_that_leaves_something_works_as_in_a_run(ctx, tmp_path):
    data = small_set(tmp_path / "data")
    made = Length(queries={"min": len("where is the lamp?") + 1}).rehearsal(Rehearsal(tmp_path)).run(ctx, data)
    assert 0 < len(made.relevant("train")) < len(data.relevant("train"))


def test_a_miner_whose_limits_leave_nothing_mines_without_them(ctx, tmp_path):
    data, model = small_set(tmp_path / "data"), tiny_model(tmp_path / "tiny")
    miner = Dense(range=(150, 200), per_query=9, max_score=-1, keep_given=False, guard={"model": "someone/guard"})
    rehearsal = Rehearsal(tmp_path)
    made = miner.rehearsal(rehearsal).run(ctx, data, model)
    assert len(made.negatives()) == 2 * len(data.relevant("train"))
    said = " ".join(note.sentence for note in rehearsal.notes)
    assert "per_query: 2 in place of 9" in said
    assert "guard.model: someone/guard is not here" in said


def test_training_is_two_steps_with_what_else_the_recipe_says(tmp_path):
    stage = SentenceTransformersTrainer(
        epochs=100,
        batch_size=64,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="ndcg@10",
        bf16=True,
        tf32=True,
        warmup_steps=1000,
        dataloader_num_workers=4,
        dataloader_prefetch_factor=2,
        learning_rate=3e-4,
        extra={"bf16_full_eval": True},
    )
    made = stage.rehearsal(Rehearsal(tmp_path))
    assert not list(made.faults())
    assert (made.max_steps, made.batch_size, made.bf16, made.tf32) == (2, 4, False, None)
    assert (made.eval_strategy, made.eval_steps, made.save_steps) == ("steps", 2, 2)
    assert (made.load_best_model_at_end, made.metric_for_best_model, made.learning_rate) == (True, "ndcg@10", 3e-4)


def test_flag_embedding_is_two_steps_in_one_process(tmp_path):
    made = FlagEmbedding(epochs=20, processes=8, fp16=True, train_group_size=16).rehearsal(Rehearsal(tmp_path))
    assert (made.max_steps, made.processes, made.fp16, made.train_group_size) == (2, 1, False, 4)
    assert not list(made.faults())


def test_a_mix_is_tried_with_few_shares_and_without_further_models(tmp_path):
    assert Search().rehearsal(Rehearsal(tmp_path)).weights == (0.0, 0.5, 1.0)
    made = Linear(base=0.2, tuned=0.6, models=({"model": "someone/other", "weight": 0.2},)).rehearsal(
        Rehearsal(tmp_path)
    )
    assert (made.base, made.tuned, made.models) == (0.25, pytest.approx(0.75), ())


def test_an_export_goes_into_the_scratch_folder(ctx, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    endpoint = Directory(path="made").rehearsal(Rehearsal(tmp_path / "out")).run(ctx, tiny_model(tmp_path / "tiny"))
    assert endpoint.path == str(tmp_path / "out/export")
    assert not (tmp_path / "made").exists()


def test_nothing_is_pushed_to_the_hub_but_all_is_made_for_it(ctx, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_none")
    stage = HubDeployer(repo_id="me/mine", license="apache-2.0").rehearsal(Rehearsal(tmp_path))
    endpoint = stage.run(ctx, tiny_model(tmp_path / "tiny"))
    stage.delete(endpoint)
    assert not endpoint.details["created"]
