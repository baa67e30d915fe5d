"""`embedrun reproduce` runs a run's lock again in a fresh store, and says what differs."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from embedrun import RunRecord
from embedrun_plugins.results.reproduce.again import room, runtime

RECIPE = """
name: small
plugins: [fakes.py, further.py]
model: ./model
source: {source}
loss: fake
trainer: {trainer}
evaluator: fake
deployer: {{type: fake, at: deployed.txt}}
{more}
"""
PAIRS = "{type: pairs, path: rows.jsonl, holdout: 0.25}"
FURTHER = '''
"""Stages that do what may go wrong."""

import os, subprocess, sys, uuid
from pathlib import Path
from typing import Literal

from embedrun import Model, Runtime, Trainer, hookimpl
from embedrun_plugins.services.answer_cache import Answers


class Moody(Trainer):
    """What the file `mood` says."""

    type: Literal["moody"] = "moody"

    def run(self, ctx, data, model, loss, dev):
        mood = Path("mood").read_text() if Path("mood").exists() else ""
        if mood == "fails":
            raise ValueError("no memory left")
        if mood == "killed":
            os.kill(os.getpid(), 9)
        if mood == "interrupted":
            raise KeyboardInterrupt
        answers = Answers.of(ctx)
        if answers.get({"q": 1}) is None:
            with Path("calls").open("a") as stream:
                stream.write("asked\\n")
            answers.keep({"q": 1}, "yes")
        steps = [1] if mood == "other" else []
        (ctx.out / "config.json").write_text(f'{{"steps": {steps}}}')
        (ctx.out / "vectors.bin").write_text(uuid.uuid4().hex if mood == "random" else "same")
        return Model(ctx.out)


class Elsewhere(Runtime):
    """The same command line in another process."""

    type: Literal["elsewhere"] = "elsewhere"
    image: str | None = None
    """Image."""

    def run(self, job):
        from embedrun import RunRecord

        name = self.image or "newest"
        image = {"reference": name, "id": f"sha256:{name.removeprefix('sha256:')}", "digest": None}
        RunRecord.read(job.run_folder).change(image=image)
        environment = {**os.environ, "OMP_NUM_THREADS": "7"}
        words = [sys.executable, "-m", "embedrun", *job.arguments]
        return subprocess.run(words, check=False, env=environment).returncode


@hookimpl
def embedrun_stages():
    return [Moody, Elsewhere]
'''
WORDS = ("lamp", "river", "stone", "cloud", "copper", "garden", "violin", "harbour")


@pytest.fixture
def made(project):
    """Run a small recipe whose stages need no torch; return how to, and the run."""

    def run(*words: str, source: str = "fake", trainer: str = "fake", more: str = "") -> Path:
        project.write("model/config.json", "{}")
        project.write("further.py", FURTHER)
        if not (project.folder / "rows.jsonl").exists():
            project.write("rows.jsonl", "".join(_row(word) for word in WORDS))
        project.write("small.yaml", RECIPE.format(source=source, trainer=trainer, more=more))
        ran = project.run("run", "small.yaml", *words)
        assert (project.folder / "runs/small").is_dir(), ran.err
        return latest(project)

    return run


def _row(word: str) -> str:
    return json.dumps({"anchor": f"where is the {word}?", "positive": f"The {word} is in the hall."}) + "\n"


def latest(project) -> Path:
    return max((file.parent for file in (project.folder / "runs/small").glob("*/run.json")), key=lambda p: p.name)


def change(file: Path, *steps: str | int, to: object) -> None:
    """Set one value in a JSON file."""
    data = json.loads(file.read_text("utf-8"))
    place = data
    for step in steps[:-1]:
        place = place[step]
    place[steps[-1]] = to
    file.write_text(json.dumps(data), "utf-8")


def left(project) -> set[str]:
    return {path.name for path in (project.folder / "runs/small").iterdir()}


def test_the_same_again_is_identical_and_leaves_nothing(made, project):
    run = made(source=PAIRS)
    before = (run / "run.json").read_bytes(), left(project)
    (project.folder / "deployed.txt").unlink()
    shown = project.run("reproduce", "small")
    assert (shown.code, shown.out) == (0, f"runs/small/{run.name}: identical (5 stages, 2 scores)\n")
    assert ((run / "run.json").read_bytes(), left(project)) == before
    assert not (project.folder / "deployed.txt").exists()
    assert "cached" not in shown.err


def test_a_changed_row_is_named(made, project):
    run = made(source=PAIRS)
    rows = project.folder / "rows.jsonl"
    rows.write_text(rows.read_text("utf-8").replace("where is the stone?", "where was the stone?"), "utf-8")
    shown = project.run("reproduce", "small")
    assert shown.code == 1
    told = shown.out.splitlines()
    assert told[:4] == [
        f"runs/small/{run.name}: differs, first in source",
        "in its inputs:",
        "  source: rows.jsonl has changed",
        "in its result:",
    ]
    assert told[4].endswith(": 'where is the stone?' is 'where was the stone?' now")
    assert told[5] == "in the environment: nothing that the record shows"


def test_what_differs_is_kept_and_can_be_compared(made, project):
    run = made(source=PAIRS)
    project.write("rows.jsonl", "".join(_row(word) for word in WORDS[1:]))
    shown = project.run("reproduce", "small")
    kept = next(line for line in shown.out.splitlines() if line.startswith("kept: "))
    again = kept.split()[1]
    assert RunRecord.read(Path(again)).status == "done"
    assert project.run("compare", str(run), again).code == 0
    assert project.run("show", again).code == 0
    assert project.run("gc").code == 0
    assert latest(project) == run, "what is kept is no further run of the recipe"


def test_another_package_version_in_the_record_is_named(made, project):
    run = made()
    change(run / "run.json", "environment", "packages", "torch", to="1.0.0")
    shown = project.run("reproduce", "small")
    assert shown.code == 0
    first, second = shown.out.splitlines()
    assert first == f"runs/small/{run.name}: identical (5 stages, 2 scores), although:"
    assert second.startswith("  torch 1.0.0 then, 2.")


def test_a_changed_plugin_and_the_value_it_changes_are_named(made, project):
    run = made()
    plugin = run / "plugins/0/fakes.py"
    plugin.write_text(
        plugin.read_text("utf-8").replace("epochs: int = 3", "epochs: int = 3\n    pace: int = 2"), "utf-8"
    )
    shown = project.run("reproduce", "small")
    assert shown.code == 0, shown.out
    assert "source: its plugin is fakes.py " in shown.out
    assert "trainer.pace: is new, 2" in shown.out


def test_the_same_inputs_with_another_result_point_to_the_environment(made, project):
    run = made(trainer="moody")
    change(run / "run.json", "environment", "python", to="3.1.4")
    project.write("mood", "random")
    shown = project.run("reproduce", "small")
    assert shown.code == 1
    assert "differs, first in trainer" in shown.out
    assert "in its inputs: nothing that the record shows" in shown.out
    assert "  vectors.bin differs" in shown.out
    assert "  python 3.1.4 then, 3." in shown.out


def test_scores_that_differ_are_named(made, project):
    made(trainer="moody")
    project.write("mood", "other")
    shown = project.run("reproduce", "small", "--json")
    assert "  fake tuned ndcg@10: 0.2 then, 0.30000000000000004 now" in shown.out
    told = shown.json
    assert told["first"] == "trainer"
    assert [score["now"] for score in told["scores"]["differing"]] == [pytest.approx(0.3)]
    assert told["stages"]["source"]
    assert not told["identical"]


def test_a_score_that_was_changed_in_the_record_is_named(made, project):
    run = made()
    change(run / "run.json", "scores", "fake", "tuned", "ndcg@10", to=0.9)
    shown = project.run("reproduce", "small")
    assert shown.code == 1
    assert "every stage is identical, but not every score in its record" in shown.out
    assert "fake tuned ndcg@10: 0.9 then, 0.5 now" in shown.out


def test_a_stage_that_fails_now_is_a_difference(made, project):
    made(trainer="moody")
    project.write("mood", "fails")
    shown = project.run("reproduce", "small")
    assert shown.code == 1
    assert "differs, first in trainer" in shown.out
    assert "no memory left" in shown.out


def test_an_interruption_leaves_nothing(made, project):
    made(trainer="moody")
    before = left(project)
    project.write("mood", "interrupted")
    shown = project.run("reproduce", "small")
    assert shown.code == 130
    assert "the repeated run was removed" in shown.err
    assert left(project) == before


def test_what_a_killed_repetition_left_is_gone_with_the_next(made, project):
    run = made(trainer="moody")
    before = left(project)
    project.write("mood", "killed")
    command = [sys.executable, "-m", "embedrun", "reproduce", "small"]
    assert subprocess.run(command, cwd=project.folder, check=False, capture_output=True).returncode == -signal.SIGKILL
    assert left(project) - before == {f"{run.name}-again"}
    project.write("mood", "")
    assert project.run("reproduce", "small").code == 0
    assert left(project) == before


def test_a_repetition_that_is_kept_or_still_goes_on_is_left_alone_by_the_next(made, project):
    run = made()
    project.run("reproduce", "small", "--keep")
    with room(run):
        going = left(project)
        assert going > {f"{run.name}-again", f"{run.name}-again-2"}
        assert project.run("reproduce", "small").code == 0
        assert left(project) == going
    assert not [path for path in (run.parent / f"{run.name}-again").iterdir() if path.name in (".going", ".lock")]


def test_what_a_service_answered_is_not_asked_again(made, project):
    made(trainer="moody")
    assert project.run("reproduce", "small").code == 0
    assert (project.folder / "calls").read_text("utf-8") == "asked\n"


def test_without_the_first_results_digests_are_compared_all_the_same(made, project):
    made(trainer="moody")
    shutil.rmtree(project.folder / "runs/.store")
    assert project.run("reproduce", "small").code == 0
    project.write("mood", "random")
    shown = project.run("reproduce", "small")
    assert shown.code == 1
    assert "the result of 'trainer' is no longer in" in shown.out


def test_a_reused_stage_is_explained_by_the_run_that_made_it(made, project):
    first = made(trainer="moody")
    change(first / "run.json", "environment", "packages", "numpy", to="0.1")
    second = made(trainer="moody")
    assert second != first
    project.write("mood", "random")
    shown = project.run("reproduce", str(second))
    assert "  numpy 0.1 then" in shown.out
    assert f"was reused from {first}, whose environment is the one compared" in shown.out
    (first / "run.json").write_text("{", "utf-8")
    assert "was reused from an earlier run whose record is gone" in project.run("reproduce", str(second)).out


def test_a_run_that_failed_is_compared_as_far_as_it_came(made, project):
    project.write("mood", "fails")
    made(trainer="moody")
    shown = project.run("reproduce", "small")
    assert shown.code == 0
    assert "this run is failed; compared are the stages that it finished: source, evaluator.fake.base\n" in shown.out
    assert "identical (2 stages, 1 score)" in shown.out


def test_a_run_with_a_limit_that_does_not_hold_is_reproduced(made, project):
    project.write("model/config.json", "{}")
    made("--set", "evaluator.least=0.9")
    shown = project.run("reproduce", "small")
    assert (shown.code, "identical (5 stages" in shown.out) == (0, True)


def test_a_run_that_made_nothing_cannot_be_reproduced(made, project):
    made(source="{type: fake, fail: data}")
    shown = project.run("reproduce", "small")
    assert shown.code == 2
    assert "failed before its first stage was done; nothing to reproduce" in shown.err


def test_a_part_of_a_recipe_is_reproduced_as_far_as_it_went(made, project):
    made("--until", "source")
    shown = project.run("reproduce", "small")
    assert (shown.code, "identical (1 stage, 0 scores)" in shown.out) == (0, True)


def test_a_missing_or_damaged_lock_is_told(made, project):
    run = made()
    lock = run / "recipe.lock.json"
    lock.write_text("{}", "utf-8")
    assert "is damaged" in project.run("reproduce", "small").err
    lock.unlink()
    shown = project.run("reproduce", str(run))
    assert shown.code == 2
    assert "recipe.lock.json: is not there" in shown.err


def test_data_that_lies_elsewhere_now_can_be_named(made, project):
    run = made(source=PAIRS)
    before = left(project)
    (project.folder / "rows.jsonl").rename(project.folder / "moved.jsonl")
    shown = project.run("reproduce", str(run))
    assert shown.code == 2
    assert "rows.jsonl: no such file" in shown.err
    assert "--set source.path=" in shown.err
    assert left(project) == before
    assert project.run("reproduce", str(run), "--set", "source.path=moved.jsonl").code == 0


@pytest.mark.slow
def test_a_run_elsewhere_is_reproduced_on_request(made, project):
    run = made(more="runtime: {type: elsewhere, image: first}")
    record = RunRecord.read(run).dump()
    assert (record["image"]["reference"], record["environment"]["threads"]) == ("first", "7")
    here = project.run("reproduce", "small")
    assert here.code == 0
    assert "although:" in here.out
    assert "  image sha256:first then, none now" in here.out
    assert "  threads 7 then, 1 now" in here.out
    there = project.run("reproduce", "small", "--on", "elsewhere", "--keep")
    assert there.code == 0
    assert there.out.startswith(f"runs/small/{run.name}: identical (5 stages, 2 scores)\nkept: ")
    again = RunRecord.read(project.folder / there.out.splitlines()[1].split()[1])
    # The recorded image, by what pins it.
    assert again.image["reference"] == "sha256:first"


IMAGE = {"reference": "embedrun:1", "id": "sha256:1", "digest": None}
DOCKER = {"type": "docker", "image": None, "gpus": "none"}


@pytest.mark.parametrize(
    ("own", "image", "on", "used"),
    [
        (DOCKER, IMAGE, None, {**DOCKER, "image": "sha256:1"}),
        (DOCKER, {**IMAGE, "digest": "embedrun@sha256:2"}, None, {**DOCKER, "image": "embedrun@sha256:2"}),
        (DOCKER, IMAGE, "local", None),
        (DOCKER, None, None, None),
        (None, None, "docker", {"type": "docker"}),
        ({"type": "sagemaker"}, IMAGE, None, None),
        ({"type": "sagemaker"}, IMAGE, "sagemaker", {"type": "sagemaker"}),
        ({"type": "sagemaker"}, IMAGE, "docker", {"type": "docker", "image": "sha256:1"}),
    ],
)
def test_a_run_made_in_a_container_is_reproduced_in_its_image_and_nothing_is_paid_for_unasked(own, image, on, used):
    assert runtime({"runtime": own}, image, on) == used


def test_a_run_that_is_not_there_is_told(project):
    shown = project.run("reproduce", "smal")
    assert shown.code == 2
    assert "no run here" in shown.err


@pytest.mark.docker
def test_a_run_in_a_container_is_reproduced_in_its_image(made, project, image):
    run = made(more=f"runtime: {{type: docker, image: '{image.reference}', gpus: none}}")
    again = project.run("reproduce", "small", "--keep")
    assert again.code == 0, again.err
    assert again.out.startswith(f"runs/small/{run.name}: identical (5 stages, 2 scores)\nkept: ")
    repeated = RunRecord.read(project.folder / again.out.splitlines()[1].split()[1])
    assert repeated.image["id"] == image.id
    here = project.run("reproduce", "small", "--on", "local")
    assert here.code == 0
    assert f"  image {image.id[:19]} then, none now" in here.out


@pytest.mark.docker
def test_a_run_made_here_is_reproduced_in_a_container_on_request(made, project, image):
    run = made(source=PAIRS)
    shown = project.run("reproduce", "small", "--on", "docker", "--set", "runtime.gpus=none")
    assert shown.code == 0, shown.err
    assert shown.out.startswith(f"runs/small/{run.name}: identical (5 stages, 2 scores), although:\n")
    assert "  image none then, sha256:" in shown.out
