"""What `embedrun sweep --set` takes, and where it says that something is wrong."""

from __future__ import annotations

import re

import pytest

from embedrun.errors import UserError
from embedrun_plugins.cli.trials.search_space import SearchSpace
from fake_trainings import RECIPE


def parsed(text):
    (parameter,) = SearchSpace.parse([text]).parameters
    return parameter


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("trainer.learning_rate=1e-5..1e-4 log", "1e-05 to 0.0001, log"),
        ("trainer.epochs=1..4", "1 to 4, whole"),
        ("trainer.epochs=1.0..4", "1 to 4"),
        ("trainer.batch_size=8..64 step 8", "8 to 64, whole, step 8"),
        ("trainer.warmup_steps=.0...2 step .05", "0 to 0.2, step 0.05"),
        ("loss.scale=10, 20,50", "10, 20, 50"),
        ("trainer.bf16=true,false", "true, false"),
        (
            "loss={type: triplet, margin: 1},{type: triplet, margin: 2}",
            "{type: triplet, margin: 1}, {type: triplet, margin: 2}",
        ),
        ("model.query_prompt='a, b','c'", "'a, b', 'c'"),
    ],
)
def test_ranges_and_lists_are_told_apart(text, described):
    assert parsed(text).described() == described


@pytest.mark.parametrize(
    "text", ["trainer.epochs=2", "source.path=../rows.jsonl", "model.query_prompt='a, b'", "a.b=[1, 2]", "a="]
)
def test_a_single_value_is_for_all_trials(text):
    space = SearchSpace.parse([text])
    assert not space.parameters
    assert space.fixed == dict([text.split("=", 1)])


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("trainer.learning_rate=1e-4..1e-5 log", 23, "did you mean 1e-5..1e-4"),
        ("trainer.learning_rate=0..1e-5 log", 23, "above 0"),
        ("trainer.learning_rate=1e-5..fast", 29, "'fast' is no number"),
        ("trainer.learning_rate=1e-5..1e-4 logg", 34, "'logg'"),
        ("trainer.epochs=1..4 step 0.5", 21, "whole number"),
        ("trainer.epochs=1..4 step", 21, "needs a whole number"),
        ("trainer.epochs=1..4 step 9", 20, "leaves the range"),
        ("trainer.epochs=3..3", 16, "give one value"),
        ("loss.scale=10,,20", 15, "missing"),
        ("loss.scale=10,20,10", 18, "listed twice"),
        ("loss.scale='10,20", 12, "not closed"),
        ("a=1e999..1", 3, "infinity"),
    ],
)
def test_what_is_wrong_is_told_with_its_column(text, column, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        SearchSpace.parse([text])
    assert f"--set '{text}', column {column}: " in str(caught.value)


def test_a_key_is_set_once():
    for second in ("a=3", "a=3,4"):
        with pytest.raises(UserError, match="'a' is set twice"):
            SearchSpace.parse(["a=1,2", second])


@pytest.mark.parametrize(
    ("setting", "column", "message"),
    [
        ("trainer.learning_rte=1e-5..1e-4", 22, "did you mean 'learning_rate'"),
        ("trainer.epochs=1,2,three", 20, "must be a whole number"),
        ("trainer.epochs=1..2.5", 19, "must be a whole number"),
        ("trainer.layers=2,2.5", 18, "whole number"),
        ("trainer.epochs=12,13", 19, "13 bring bad luck"),
        ("source=fake,beir", 1, "what trials are judged by"),
        ("seed=1,2", 1, "what trials are judged by"),
        ("trainer.type=fake,curve", 1, "try the stages themselves"),
        ("deployer=directory,hub", 1, "changes no training"),
    ],
)
def test_what_the_recipe_refuses_is_told_before_anything_runs(shop, setting, column, message):
    done = shop.sweep(settings=(setting,))
    assert done.code == 2
    assert f"--set '{setting}', column {column}: " in done.err
    assert message in done.err
    assert not (shop.folder / "runs/shop").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("evaluator: curve", "evaluator: fake", "scores no split"),
        (
            "evaluator: curve",
            "evaluator: {type: curve, split: dev}",
            "shop.yaml:12:33: evaluator.0.split: a sweep chooses on 'dev'",
        ),
        ("evaluator: curve", "", "add information_retrieval"),
        (
            "source: fake",
            "source: {type: pairs, path: p.jsonl, holdout: 0.5}",
            "hold some queries out, as in --set 'source.holdout={test: 0.5, dev: 0.15}'",
        ),
    ],
)
def test_a_recipe_that_cannot_be_swept_is_told_why(shop, old, new, message):
    shop.project.write("p.jsonl", '{"anchor": "a", "positive": "b"}\n')
    shop.project.write("shop.yaml", RECIPE.replace(old, new))
    done = shop.sweep()
    assert done.code == 2
    assert message in done.err
