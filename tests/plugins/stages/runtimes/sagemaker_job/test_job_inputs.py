"""What a job is to do: the same work is known again, and other work is not taken for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import plain_training
from embedrun import Settings
from embedrun.console import Console
from embedrun.execution import Execution, Loaded
from embedrun.store import Store
from embedrun_plugins.stages.runtimes.sagemaker_job.job_inputs import JobInputs

RECIPE = plain_training.RECIPE.replace("{type: fake}\nloss", "{type: pairs, path: pairs.jsonl, holdout: 0.5}\nloss")


@pytest.fixture
def work(project, monkeypatch) -> Callable[..., JobInputs]:
    """Make the work of a recipe, with changes of it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION"):
        monkeypatch.setenv(name, "us-east-1")
    project.write("model/config.json", "{}")
    project.write("pairs.jsonl", json.dumps({"anchor": "a?", "positive": "an a"}) + "\n")
    project.write("plain.yaml", RECIPE)
    numbers = iter(range(99))

    def make(until: str | None = None, device: str | None = None, **changes: Any) -> JobInputs:
        loaded = Loaded.read("plain.yaml", {name.replace("__", "."): value for name, value in changes.items()})
        settings = Settings(runs=project.folder / "runs", offline=True, until=until, device=device)
        folder = project.folder / f"runs/plain/{next(numbers)}"
        folder.mkdir(parents=True)
        (folder / "run.json").write_text("{}", "utf-8")
        store = Store(project.folder / "store")
        return JobInputs(Execution(loaded, loaded.plan(settings), store, folder, settings, Console()).job())

    return make


def test_the_same_work_is_known_wherever_it_is_run_and_deployed(work):
    same = [work(), work(runtime__instance_type="ml.g5.xlarge"), work(name="other"), work(deployer="local")]
    assert len({one.id for one in same}) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda project: project.write("pairs.jsonl", '{"anchor": "b?", "positive": "a b"}\n'),
        lambda project: project.write("model/config.json", '{"hidden_size": 4}'),
        lambda project: project.write("fakes.py", (project.folder / "fakes.py").read_text() + "\n# changed\n"),
        lambda project: project.write("plain.yaml", RECIPE + "seed: 7\n"),
    ],
    ids=["a row", "the model", "a plugin's code", "the seed"],
)
def test_what_decides_the_result_makes_other_work(work, project, change):
    before = work().id
    change(project)
    assert work().id != before


def test_where_a_run_stops_is_part_of_the_work(work):
    assert work(until="source").id != work().id


def test_inputs_are_sent_with_where_they_were(work, project):
    sent = work().channels()["inputs"]
    places = json.loads(sent["inputs.json"])
    place = places[str(project.folder / "pairs.jsonl")]
    assert sent[place] == project.folder / "pairs.jsonl"
    assert f"{places[str(project.folder / 'model')]}/config.json" in sent


def test_the_job_is_told_what_the_command_line_says(work):
    told = work(until="trainer", device="cpu").hyperparameters(1)
    assert told == {"until": "trainer", "device": "cpu", "nproc_per_node": "1", "offline": "true"}
