"""A learning curve: each stage that shares can share runs once, and a killed one goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from embedrun.testing import tiny_model

PLUGIN = '''
"""A trainer that learns with every doubling of its data, and what measures it; no torch."""

import math
import os
import random
import signal
from typing import Annotated, Literal

from embedrun import Document, Evaluator, Judgement, Loss, Model, Query, RetrievalSet, Scores, Source, Trainer, hookimpl
from embedrun.bootstrap import comparison
from embedrun.context import Unkeyed
from embedrun_plugins.stages.trainers.training_share import shared, whole
from pydantic import Field


def note(what):
    with open("ran.txt", "a", encoding="utf-8") as stream:
        stream.write(f"{what}\\n")


class Facts(Source):
    """Ninety facts with two questions each to train on, and forty to test."""
    type: Literal["facts"] = "facts"

    def run(self, ctx):
        note("source")
        documents = [Document(f"d{n}", f"fact {n} " + random.Random(n).randbytes(30).hex()) for n in range(130)]
        queries = [Query(f"q{n}", f"question {n}") for n in range(220)]
        train = [Judgement(f"q{n}", f"d{n // 2}") for n in range(180)]
        test = [Judgement(f"q{n}", f"d{n - 90}") for n in range(180, 220)]
        return RetrievalSet.write(ctx.out, documents=documents, queries=queries, qrels={"train": train, "test": test})

    def columns_given(self):
        return frozenset({"positive"})


class Nothing(Loss):
    """Nothing."""
    type: Literal["nothing"] = "nothing"

    def build(self, model):
        return None


class Learner(Trainer):
    """Learns by the number of queries."""
    type: Literal["learner"] = "learner"
    share: float | None = Field(None, gt=0, le=1, exclude_if=whole)
    gain: float = 0.05
    kill_at: Annotated[float, Unkeyed] = 0

    def run(self, ctx, data, model, loss, dev):
        data = shared(ctx, data, self.share)
        note(f"trainer {self.share or 1:g}")
        if self.kill_at and self.kill_at == self.share:
            os.kill(os.getpid(), signal.SIGKILL)
        (ctx.out / "config.json").write_text(str(self.gain * math.log2(len(data.relevant("train")))))
        return Model(ctx.out, model.settings)


class Exam(Evaluator):
    """Scores what was learned, a little otherwise for every question."""
    type: Literal["exam"] = "exam"

    def run(self, ctx, data, model):
        note(f"exam {model.path.parent.name == 'model'}")
        learned = float((model.path / "config.json").read_text())
        chance = random.Random(int(1e6 * learned))
        values = {f"q{n}": 0.3 + learned + chance.uniform(-0.01, 0.01) for n in range(180, 220)}
        return Scores.write(ctx.out, {"ndcg@10": sum(values.values()) / 40}, {"ndcg@10": values})

    def score(self, model, data, split):
        return {}

    def compare(self, ctx, scores):
        return comparison(ctx, scores)


@hookimpl
def embedrun_stages():
    return [Facts, Nothing, Learner, Exam]
'''
RECIPE = """
model: ./model
plugins: [learner.py]
source: facts
loss: nothing
trainer: learner
evaluator: exam
deployer: {type: directory, path: deployed}
"""


@pytest.fixture
def learner(project):
    project.write("model/config.json", "0")
    project.write("learner.py", PLUGIN)
    project.write("r.yaml", RECIPE)
    return project


def ran(project):
    return Counter((project.folder / "ran.txt").read_text().splitlines())


def test_a_share_is_a_training_and_all_else_is_done_once(learner):
    done = learner.run("curve", "r.yaml", "--json")
    assert done.code == 0, done.err
    counts = ran(learner)
    assert counts["source"] == 1
    assert {share: counts[f"trainer {share}"] for share in ("0.125", "0.25", "0.5", "1")} == dict.fromkeys(
        ("0.125", "0.25", "0.5", "1"), 1
    )
    assert counts["exam True"] + counts["exam False"] == 5, "the base once, and each share's model"
    curve = done.json
    assert curve["stages_run"]["evaluator.exam.base"] == 1
    assert curve["stages_run"]["trainer"] == 4
    assert [point["share"] for point in curve["points"]] == [0.125, 0.25, 0.5, 1.0]
    queries = [point["queries"] for point in curve["points"]]
    assert queries == sorted(queries)
    assert queries[-1] == 180
    assert all(count % 2 == 0 for count in queries), "two questions about one fact go together"
    assert {point["verdict"] for point in curve["points"]} == {"better"}
    assert curve["doubling"]["verdict"] == "more helps"
    assert curve["doubling"]["low"] <= 0.05 <= curve["doubling"]["high"]
    assert curve["check"]["gain"] is not None
    assert not (learner.folder / "deployed").exists(), "nothing is deployed"


def test_what_is_shown_says_how_sure_it_is(learner):
    done = learner.run("curve", "r.yaml")
    assert done.code == 0, done.err
    assert "together 1.875 times a training on all of the data" in done.err + done.out
    assert "40 test queries, 40 independent units, the same for every share" in done.out
    assert "twice the data (360 queries): +0.0" in done.out
    assert "checked on itself: the shares before the last promised" in done.out
    (page,) = learner.folder.glob("runs/r/*/curve.html")
    html = page.read_text("utf-8")
    assert "How much data is enough" in html
    assert "twice the data, extrapolated" in html
    assert json.loads(page.with_suffix(".json").read_text("utf-8"))["metric"] == "ndcg@10"


def test_where_nothing_is_learned_it_can_t_tell(learner):
    done = learner.run("curve", "r.yaml", "--json", "--set", "trainer.gain=0")
    assert done.json["doubling"]["verdict"] == "can't tell"
    assert "can't tell whether it helps" in done.out
    two = learner.run("curve", "r.yaml", "--json", "--shares", "0.5,1")
    assert "can't tell: 2 shares tell no curve: 3 are needed" in two.out


def test_a_killed_curve_goes_on_with_the_share_that_it_was_in(learner):
    words = [sys.executable, "-m", "embedrun", "curve", "r.yaml", "--set", "trainer.kill_at=0.5"]
    assert subprocess.run(words, capture_output=True, text=True, check=False).returncode == -9
    planned = learner.run("curve", "r.yaml", "--plan")
    assert planned.code == 0
    assert "together 1.5 times a training" in planned.err + planned.out
    assert "all trained already" in planned.err + planned.out
    assert learner.run("curve", "r.yaml").code == 0
    counts = ran(learner)
    assert (counts["source"], counts["trainer 0.125"], counts["trainer 0.25"]) == (1, 1, 1)
    assert (counts["trainer 0.5"], counts["trainer 1"]) == (2, 1)


def test_a_run_of_the_recipe_is_the_curve_s_last_point(learner):
    assert learner.run("r.yaml", "--set", "deployer=[]").code == 0
    assert learner.run("curve", "r.yaml").code == 0
    assert ran(learner)["trainer 1"] == 1


def test_seeds_say_what_chance_does(learner):
    done = learner.run("curve", "r.yaml", "--json", "--shares", "0.25,0.5,1", "--seeds", "2")
    assert done.code == 0, done.err
    assert done.json["stages_run"]["trainer.seed_43"] == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shares", "0.5"], "'0.5': give two or more shares above 0 and up to 1"),
        (["--shares", "0.5,2"], "give two or more shares above 0 and up to 1"),
        (["--shares", "a,b"], "'a,b' are no shares; give numbers, such as 0.125,0.25,0.5,1"),
        (["--set", "trainer=none"], "trainer"),
    ],
)
def test_what_cannot_be_a_curve_is_refused(learner, words, message):
    refused = learner.run("curve", "r.yaml", *words)
    assert refused.code == 2
    assert message in refused.err


def test_a_recipe_that_does_not_train_has_no_curve(learner):
    learner.write("r.yaml", "model: ./model\nplugins: [learner.py]\nsource: facts\nevaluator: exam\n")
    refused = learner.run("curve", "r.yaml")
    assert refused.code == 2
    assert "a learning curve needs a trainer and an evaluator" in refused.err


def test_a_share_that_holds_nothing_is_explained(learner):
    refused = learner.run("curve", "r.yaml", "--shares", "0.0001,1")
    assert refused.code == 2
    assert "trainer.share: 0.0001 of 180 training queries, which are 90 independent units, holds none" in refused.err


def test_a_real_training_on_a_share_of_its_rows(project):
    tiny_model(project.folder / "model/tiny")
    rows = [{"anchor": f"where is thing {n}", "positive": f"Thing {n // 2} is kept in room {n}."} for n in range(60)]
    project.write("pairs.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    project.write(
        "r.yaml",
        "model: ./model/tiny\nsource: {type: pairs, path: pairs.jsonl, holdout: 0.3}\n"
        "loss: multiple_negatives_ranking\nevaluator: information_retrieval\n"
        "trainer: {type: sentence_transformers, batch_size: 8}\n",
    )
    done = project.run("curve", "r.yaml", "--shares", "0.3,0.6,1", "--json")
    assert done.code == 0, done.err
    assert done.json["stages_run"]["source"] == 1
    counts = [point["queries"] for point in done.json["points"]]
    assert counts[0] < counts[1] < counts[2] == 42
