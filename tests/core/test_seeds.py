"""A recipe trained with several seeds is one run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

RECIPE = """\
model: model
plugins: [fakes.py]
source: {type: fake}
loss: fake
trainer: {type: fake}
merge: fake
evaluator: fake
deployer: {type: fake, at: deployed.txt}
seed: 5
seeds: [5, 8, 13]
"""


@pytest.fixture
def recipe(project):
    project.write("model/config.json", "{}")
    project.write("r.yaml", RECIPE)
    return project


def stages(outcome):
    return {stage["slot"]: stage for stage in outcome.json["stages"]}


def model_of(recipe, slot):
    """Read what a training left."""
    latest = max((recipe.folder / "runs/r").iterdir())
    keys = {stage["slot"]: stage["key"] for stage in json.loads((latest / "run.json").read_text())["stages"]}
    return json.loads((recipe.folder / "runs/.store" / keys[slot][:2] / keys[slot] / "out/config.json").read_text())


def seed_of(recipe, slot):
    return model_of(recipe, slot)["seed"]


def test_each_seed_is_a_training_and_what_they_share_runs_once(recipe):
    done = recipe.run("r.yaml", "--json")
    assert done.code == 0, done.err
    assert list(stages(done)) == [
        "source",
        "evaluator.fake.base",
        *("trainer", "merge", "trainer.seed_8", "merge.seed_8", "trainer.seed_13", "merge.seed_13"),
        *("evaluator.fake.tuned", "evaluator.fake.merged", "evaluator.fake.tuned.seed_8"),
        *("evaluator.fake.merged.seed_8", "evaluator.fake.tuned.seed_13", "evaluator.fake.merged.seed_13"),
        *("evaluator.fake.comparison", "deployer.fake"),
    ]
    over = done.json["comparisons"]["fake"][-1]["over_seeds"]
    assert (over["trainings"], over["model_spread"]) == ([3, 1], 0.0)
    slots = ("trainer", "trainer.seed_8", "merge.seed_8", "trainer.seed_13")
    assert [seed_of(recipe, slot) for slot in slots] == [5, 8, 8, 13]
    assert len({stages(done)[slot]["key"] for slot in ("trainer", "trainer.seed_8", "trainer.seed_13")}) == 3


def test_one_training_of_the_seed_is_reused_among_several(recipe):
    alone = stages(recipe.run("r.yaml", "--json", "--set", "seeds=[]"))
    several = stages(recipe.run("r.yaml", "--json"))
    assert {slot for slot, stage in several.items() if not stage["cached"]} >= {"trainer.seed_8", "merge.seed_13"}
    shared = alone.keys() - {"evaluator.fake.comparison", "deployer.fake"}
    assert all(several[slot]["cached"] and several[slot]["key"] == alone[slot]["key"] for slot in shared)


def test_a_number_of_seeds_counts_from_the_recipe_s_own(recipe):
    assert "trainer.seed_7" in stages(recipe.run("r.yaml", "--json", "--seeds", "3"))
    assert [seed_of(recipe, slot) for slot in ("trainer", "trainer.seed_6", "trainer.seed_7")] == [5, 6, 7]


def test_a_run_killed_in_the_second_training_goes_on_there(recipe):
    assert recipe.run("r.yaml", "--set", "seeds=[]").code == 0
    words = [sys.executable, "-m", "embedrun", "r.yaml", "--set", "trainer.kill_at=2"]
    assert subprocess.run(words, capture_output=True, text=True, check=False).returncode == -9
    done = stages(recipe.run("r.yaml", "--json"))
    assert done["trainer"]["cached"]
    assert not done["trainer.seed_8"]["cached"]
    assert not list(recipe.folder.glob("runs/.store/tmp/*/"))
    assert model_of(recipe, "trainer.seed_8")["steps"] == [0, 1, 2], "no step was done twice"


def test_the_table_says_what_the_seeds_did(recipe):
    done = recipe.run("r.yaml")
    header = next(line for line in done.out.splitlines() if "verdict" in line)
    assert header.endswith("over seeds")
    assert "+0.3000 ± 0.0000" in done.out
    assert "ndcg@10 over seeds: +0.3000" in done.out
    assert "model 3 trainings, 0.0000 from seed to seed" in done.out
    assert "tuned.seed_8" not in done.out
    alone = recipe.run("r.yaml", "--set", "seeds=[]")
    assert "one training: how much another seed would change is not known (--seeds 3)" in alone.out
    assert "over seeds" not in alone.out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seeds: [5, 8, 13]", "seeds: [5, 8, 5]", "seeds.2: the same '5' is listed twice"),
        ("loss: fake\ntrainer: {type: fake}\nmerge: fake\n", "", "seeds: has no effect without a trainer"),
        ("seeds: [5, 8, 13]", "seeds: [-1]", "seeds.0"),
        ("seeds: [5, 8, 13]", "seeds: -1", "seeds"),
    ],
)
def test_seeds_that_cannot_be_are_refused(recipe, old, new, message):
    recipe.write("r.yaml", RECIPE.replace(old, new))
    refused = recipe.run("check", "r.yaml")
    assert refused.code == 2
    assert message in refused.err


def test_two_recipes_are_compared_over_their_seeds(recipe):
    recipe.run("r.yaml")
    recipe.write("s.yaml", RECIPE.replace("type: fake}\nmerge", "type: fake, epochs: 5}\nmerge"))
    recipe.run("s.yaml")
    compared = recipe.run("compare", "r", "s")
    assert compared.code == 0, compared.err
    assert "+0.2000 ± 0.0000" in compared.out
    assert "model 3 trainings" in compared.out
    assert "base 3 trainings" in compared.out
