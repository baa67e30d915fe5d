"""What does not go together is said before anything is loaded."""

from __future__ import annotations

from dataclasses import fields

import pytest
from pydantic import ValidationError

from embedrun_plugins.stages.docstrings import descriptions
from embedrun_plugins.stages.losses.distillation import MarginMse
from embedrun_plugins.stages.losses.ranking import MultipleNegativesRanking
from embedrun_plugins.stages.losses.triplets import BatchAllTriplet, Triplet
from embedrun_plugins.stages.trainers.option_checks import RENAMED, TAKEN, UNSUPPORTED
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

BEST = {"load_best_model_at_end": True, "metric_for_best_model": "ndcg@10"}


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (BEST, "load_best_model_at_end needs evaluations"),
        ({"load_best_model_at_end": True, "eval_strategy": "epoch"}, "needs metric_for_best_model"),
        ({**BEST, "eval_strategy": "epoch", "save_strategy": "no"}, "save_strategy must be 'epoch'"),
        (
            {**BEST, "eval_strategy": "steps", "eval_steps": 4, "save_strategy": "steps", "save_steps": 6},
            "save_steps: must be a multiple of eval_steps",
        ),
        (
            {**BEST, "eval_strategy": "steps", "eval_steps": 0.1, "save_strategy": "steps", "save_steps": 10},
            "save_steps: must be a multiple of eval_steps",
        ),
        ({"eval_strategy": "steps"}, "eval_strategy: 'steps' needs eval_steps"),
        ({"save_strategy": "steps"}, "save_strategy: 'steps' needs save_steps"),
        ({"eval_steps": 10}, "eval_steps: has no effect while eval_strategy is 'no'"),
        ({"save_steps": 10}, "save_steps: has no effect while save_strategy is 'epoch'"),
        ({"save_strategy": "steps", "save_steps": 2.5}, "save_steps: must be a whole number"),
        ({"logging_steps": 2.5}, "logging_steps: must be a whole number"),
        ({"warmup_steps": 2.5}, "warmup_steps: must be a whole number"),
        ({"warmup_steps": 10, "max_steps": 10}, "leave nothing of the 10 steps"),
        ({"metric_for_best_model": "ndcg@10"}, "metric_for_best_model: has no effect"),
        ({"early_stopping_patience": 2}, "early_stopping_patience needs evaluations"),
        ({"save_strategy": "best"}, "save_strategy: best needs"),
        ({"lr_scheduler_type": "reduce_lr_on_plateau"}, "reduce_lr_on_plateau needs evaluations"),
        ({"lr_scheduler_type": "cosine_with_min_lr"}, "needs min_lr or min_lr_rate"),
        ({"lr_scheduler_type": "warmup_stable_decay"}, "needs num_decay_steps"),
        ({"bf16": True, "fp16": True}, "only one can be on"),
        ({"gradient_checkpointing_kwargs": {"use_reentrant": False}}, "without gradient_checkpointing"),
        ({"dataloader_prefetch_factor": 2}, "no worker to prefetch"),
        ({"eval_on_start": True}, "while eval_strategy is 'no'"),
        ({"extra": {"num_train_epochs": 2}}, "extra.num_train_epochs: is the trainer's own key 'epochs'"),
        ({"extra": {"learning_rate": 2}}, "extra.learning_rate: is a key of the trainer"),
        ({"extra": {"output_dir": "x"}}, "extra.output_dir: is set by embedrun"),
        ({"extra": {"push_to_hub": True}}, "extra.push_to_hub: is not supported"),
    ],
)
def test_options_that_do_not_go_together_are_named(options, fault):
    found = list(SentenceTransformersTrainer(**options).faults())
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    "options",
    [
        {},
        {**BEST, "eval_strategy": "epoch"},
        {**BEST, "eval_strategy": "steps", "eval_steps": 0.1, "save_strategy": "steps", "save_steps": 0.2},
        {**BEST, "eval_strategy": "steps", "eval_steps": 5, "save_strategy": "best", "early_stopping_patience": 3},
        {"warmup_steps": 100, "lr_scheduler_type": "cosine_with_min_lr", "lr_scheduler_kwargs": {"min_lr": 1e-6}},
        {"extra": {"label_names": ["label"]}},
    ],
)
def test_options_that_go_together_are_let_through(options):
    assert not list(SentenceTransformersTrainer(**options).faults())


@pytest.mark.parametrize("options", [{"epochs": 0}, {"batch_size": 0}, {"optim": "adamw"}, {"num_train_epochs": 3}])
def test_values_and_names_that_do_not_exist_are_refused(options):
    with pytest.raises(ValidationError):
        SentenceTransformersTrainer(**options)


@pytest.mark.parametrize(
    ("options", "loss", "reason"),
    [
        ({"batch_size": 7}, BatchAllTriplet(), "an even number of at least 4, not 7"),
        ({"batch_size": 2}, BatchAllTriplet(), "an even number of at least 4, not 2"),
        ({"batch_sampler": "group_by_label"}, MultipleNegativesRanking(), "needs a loss over labels"),
        ({"negatives_per_query": 0}, Triplet(), "needs negatives"),
        (
            {"eval_strategy": "epoch", "load_best_model_at_end": True, "metric_for_best_model": "loss"},
            MarginMse(),
            "which only the train split has",
        ),
    ],
)
def test_a_loss_that_it_cannot_train_with_is_refused(options, loss, reason):
    assert reason in (SentenceTransformersTrainer(**options).refuses(loss) or "")
    assert SentenceTransformersTrainer().refuses(loss) is None


def test_the_recipe_learns_which_metric_and_split_are_watched():
    trainer = SentenceTransformersTrainer(**BEST, eval_strategy="epoch")
    assert (trainer.watched_metric(), trainer.watched_split()) == ("ndcg@10", "dev")
    assert SentenceTransformersTrainer().watched_split() is None
    by_loss = SentenceTransformersTrainer(
        eval_strategy="epoch", load_best_model_at_end=True, metric_for_best_model="loss"
    )
    assert by_loss.watched_metric() is None


def test_the_forecast_counts_rows_and_steps(ranked):
    trainer = SentenceTransformersTrainer(batch_size=4, epochs=3)
    found = trainer.forecast(ranked, MultipleNegativesRanking())
    assert found == {"rows": 10, "negatives per row": 1, "optimizer steps": 9, "largest batch": 4}
    assert trainer.forecast(ranked) == found
    assert trainer.forecast(None) == {}
    without_last = SentenceTransformersTrainer(batch_size=4, epochs=3, dataloader_drop_last=True)
    assert without_last.forecast(ranked)["optimizer steps"] == 6
    accumulated = SentenceTransformersTrainer(batch_size=4, epochs=3, gradient_accumulation_steps=2)
    assert accumulated.forecast(ranked)["optimizer steps"] == 6


def test_every_field_is_documented():
    assert (
        SentenceTransformersTrainer.model_fields.keys() - {"type"} <= descriptions(SentenceTransformersTrainer).keys()
    )


def test_names_are_those_of_the_training_arguments():
    from sentence_transformers import SentenceTransformerTrainingArguments

    from embedrun_plugins.stages.trainers.training_arguments import _OWN

    known = {field.name for field in fields(SentenceTransformerTrainingArguments)}
    assert set(SentenceTransformersTrainer.model_fields) - _OWN <= known
    assert {*TAKEN, *UNSUPPORTED} <= known
    assert set(RENAMED) <= known
