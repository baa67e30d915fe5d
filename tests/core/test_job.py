"""A runtime carries out everything but the deployers, by the same command line somewhere else."""

from __future__ import annotations

import json

import pytest

from embedrun import Settings, plan
from embedrun.execution import Loaded

ELSEWHERE = '''\
import subprocess
import sys
from typing import Literal

from embedrun import Runtime, UserError, hookimpl


class Elsewhere(Runtime):
    """Another process, in another folder, with an empty environment."""

    type: Literal["elsewhere"] = "elsewhere"
    refuses: bool = False
    """Whether nothing starts there."""
    interrupt: str | None = None
    """Where the user ends it."""

    def run(self, job):
        if self.refuses:
            raise UserError("elsewhere: there is no such place")
        if self.interrupt == "here":
            raise KeyboardInterrupt
        if self.interrupt == "there":
            return 130
        done = subprocess.run([sys.executable, "-m", "embedrun", *job.arguments], cwd="/", env={}, check=False)
        (job.run_folder / "code").write_text(str(done.returncode))
        return done.returncode


@hookimpl
def embedrun_stages():
    return [Elsewhere]
'''

RECIPE = """\
model: model
plugins: [fakes.py, elsewhere.py]
source: {type: fake}
loss: fake
trainer: {type: fake}
evaluator: fake
deployer: {type: fake, at: deployed.txt}
runtime: elsewhere
"""


@pytest.fixture
def recipe(project):
    project.write("model/config.json", "{}")
    project.write("elsewhere.py", ELSEWHERE)
    project.write("r.yaml", RECIPE)
    return project


def record(recipe):
    [file] = recipe.folder.glob("runs/r/*/run.json")
    return json.loads(file.read_text())


def test_a_run_elsewhere_ends_here_as_if_it_had_run_here(recipe):
    done = recipe.run("r.yaml")
    assert done.code == 0
    assert "+0.3000" in done.out
    kept = record(recipe)
    assert kept["status"] == "done"
    slots = [stage["slot"] for stage in kept["stages"]]
    assert len(slots) == len(set(slots))
    assert slots[-1] == "deployer.fake"
    assert next(recipe.folder.glob("runs/r/*/code")).read_text() == "0"


def test_deployers_run_where_the_run_was_begun(recipe):
    recipe.run("r.yaml")
    assert (recipe.folder / "deployed.txt").read_text() == "deployed"
    assert recipe.run("delete", "r").code == 0
    assert not (recipe.folder / "deployed.txt").exists()


def test_what_was_made_elsewhere_is_reused_here_and_the_other_way_round(recipe):
    recipe.run("r.yaml", "--set", "deployer=[]")
    here = recipe.run("r.yaml", "--json", "--set", "runtime=null", "--set", "deployer=[]")
    assert all(stage["cached"] for stage in here.json["stages"])
    again = recipe.run("r.yaml", "--json", "--set", "trainer.epochs=4", "--set", "deployer=[]")
    assert {s["slot"] for s in again.json["stages"] if s["cached"]} == {"source", "evaluator.fake.base"}


def test_where_everything_is_kept_nothing_is_started_elsewhere(recipe):
    recipe.run("r.yaml", "--set", "runtime=null")
    done = recipe.run("r.yaml", "--set", "runtime.refuses=true")
    assert done.code == 0


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ("source.fail=data", 2, "source (fake): pairs.csv:3: the score is NaN"),
        ("source.fail=bug", 1, "source (fake) failed: ZeroDivisionError"),
        ("evaluator.least=0.9", 1, "ndcg@10 is 0.50, below 0.9"),
        ("trainer.kill_at=1", 1, "runtime: ended with exit code -9 before the run was done"),
        ("runtime.refuses=true", 2, "elsewhere: there is no such place"),
    ],
)
def test_what_goes_wrong_elsewhere_is_said_here_and_nothing_is_deployed(recipe, change, code, message):
    done = recipe.run("r.yaml", "--set", change)
    assert done.code == code
    assert message in done.err
    assert record(recipe)["status"] == "failed"
    assert message in record(recipe)["error"]
    assert not (recipe.folder / "deployed.txt").exists()


def test_a_run_that_was_killed_elsewhere_goes_on_where_it_was(recipe):
    recipe.run("r.yaml", "--set", "trainer.kill_at=2")
    assert recipe.run("r.yaml").code == 0
    [model] = recipe.folder.glob("runs/.store/??/*/out/config.json")
    assert json.loads(model.read_text())["steps"] == [0, 1, 2]


@pytest.mark.parametrize("place", ["here", "there"])
def test_an_interruption_before_anything_started_is_written_down(recipe, place):
    done = recipe.run("r.yaml", "--set", f"runtime.interrupt={place}")
    assert done.code == 130
    assert record(recipe)["status"] == "interrupted"


def test_until_stops_elsewhere_too(recipe):
    done = recipe.run("r.yaml", "--json", "--until", "trainer")
    assert [stage["slot"] for stage in done.json["stages"]][-1] == "trainer"
    assert recipe.run("r.yaml", "--until", "deployer").code == 0


def described(recipe, **overrides):
    """Return what the steps' keys are made of, and the digest of all that a runtime would do."""
    laid = Loaded.read(recipe.folder / "r.yaml", overrides).plan(Settings())
    slots = {"model": laid.base.digest, **{step.slot: step.slot for step in laid.steps}}
    inputs = [path for _, stage in laid.recipe.stages() for path in stage.inputs()]
    return [laid.description(step, slots) for step in laid.steps], laid.digest(inputs, (), None, None)


@pytest.mark.parametrize(
    "overrides",
    [
        {"seed": 1},
        {"model.max_length": 8},
        {"source.size": 3},
        {"source.file": "r.yaml"},
        {"filters": ["copy"]},
        {"negatives": "fake"},
        {"loss.temperature": 0.1},
        {"trainer.epochs": 5},
        {"merge": "fake"},
        {"evaluator.file": "r.yaml"},
    ],
    ids=str,
)
def test_what_changes_a_key_makes_it_other_work(recipe, overrides):
    before, after = described(recipe), described(recipe, **overrides)
    assert before[0] != after[0]
    assert before[1] != after[1]


def _schema(recipe, monkeypatch):
    monkeypatch.setattr(plan, "KEY_SCHEMA", plan.KEY_SCHEMA + 1)


def _file(recipe, monkeypatch):
    recipe.write("data.txt", "other")


def _plugin(recipe, monkeypatch):
    recipe.write("fakes.py", (recipe.folder / "fakes.py").read_text("utf-8") + "# other\n")


def _model(recipe, monkeypatch):
    recipe.write("model/config.json", '{"other": 1}')


@pytest.mark.parametrize("change", [_schema, _file, _plugin, _model], ids=lambda change: change.__name__)
def test_what_changes_a_key_beside_the_recipe_makes_it_other_work(recipe, monkeypatch, change):
    recipe.write("data.txt", "data")
    before = described(recipe, **{"source.file": "data.txt"})
    change(recipe, monkeypatch)
    after = described(recipe, **{"source.file": "data.txt"})
    assert before[0] != after[0]
    assert before[1] != after[1]
