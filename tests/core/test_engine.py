"""A plan is carried out, reused, resumed and recorded."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys

import pytest

RECIPE = """\
model: model
plugins: [fakes.py]
source: {type: fake}
filters: [copy]
loss: fake
trainer: {type: fake}
evaluator: fake
"""


@pytest.fixture
def recipe(project):
    project.write("model/config.json", "{}")
    project.write("r.yaml", RECIPE)
    return project


def stages(outcome):
    return {stage["slot"]: stage for stage in outcome.json["stages"]}


def test_a_run_ends_with_scores_before_and_after_and_names_its_folder(recipe):
    done = recipe.run("r.yaml")
    assert done.code == 0
    assert "base" in done.out
    assert "tuned" in done.out
    assert "+0.3000" in done.out
    folder = next((recipe.folder / "runs/r").iterdir())
    assert folder.name in done.err
    assert {p.name for p in folder.iterdir()} >= {"recipe.yaml", "recipe.lock.json", "run.json", "log.jsonl"}
    assert (folder / "recipe.yaml").read_text() == RECIPE


def test_the_same_recipe_again_reuses_every_stage(recipe):
    first = recipe.run("r.yaml", "--json")
    again = recipe.run("r.yaml", "--json")
    assert all(stage["cached"] for stage in again.json["stages"])
    assert again.json["scores"] == first.json["scores"]
    assert "two rows were empty" in again.err, "warnings are shown again"


def test_only_what_depends_on_a_change_runs_again(recipe):
    recipe.run("r.yaml", "--json")
    changed = stages(recipe.run("r.yaml", "--json", "--set", "trainer.epochs=5"))
    assert {slot for slot, stage in changed.items() if not stage["cached"]} == {
        "trainer",
        "evaluator.fake.tuned",
        "evaluator.fake.comparison",
    }


def test_a_field_that_cannot_change_the_result_runs_nothing_again(recipe):
    recipe.run("r.yaml")
    again = recipe.run("r.yaml", "--json", "--set", "source.workers=8")
    assert all(stage["cached"] for stage in again.json["stages"])


def test_a_changed_file_runs_its_source_again_but_equal_content_does_not(recipe):
    recipe.write("a.txt", "one")
    recipe.run("r.yaml", "--set", "source.file=a.txt")
    recipe.write("b.txt", "one")
    same = recipe.run("r.yaml", "--json", "--set", "source.file=b.txt")
    assert all(stage["cached"] for stage in same.json["stages"])
    recipe.write("b.txt", "two")
    other = stages(recipe.run("r.yaml", "--json", "--set", "source.file=b.txt"))
    assert not other["source"]["cached"]
    recipe.write("b.txt", "two\n")
    cut_off = stages(recipe.run("r.yaml", "--json", "--set", "source.file=b.txt"))
    assert not cut_off["source"]["cached"]
    assert cut_off["trainer"]["cached"], "the source made the same set again, so nothing retrains"


def test_a_changed_file_of_the_evaluator_that_chooses_the_model_trains_again(recipe):
    watched = ["--set", "trainer.metric_for_best_model=ndcg@10", "--set", "evaluator={type: fake, file: a.txt}"]
    recipe.write("a.txt", "one")
    recipe.run("r.yaml", *watched)
    recipe.write("a.txt", "two")
    assert not stages(recipe.run("r.yaml", "--json", *watched))["trainer"]["cached"]


def test_another_seed_trains_again_but_does_not_score_the_base_again(recipe):
    recipe.run("r.yaml")
    other = stages(recipe.run("r.yaml", "--json", "--set", "seed=7"))
    assert not other["trainer"]["cached"]
    assert other["evaluator.fake.base"]["cached"]


def test_two_fresh_stores_give_the_same_digests(recipe):
    found = []
    for store in ("one", "two"):
        recipe.run("r.yaml", "--store", store)
        latest = max((recipe.folder / "runs/r").iterdir())
        found.append(
            [(s["slot"], s["key"], s["digest"]) for s in json.loads((latest / "run.json").read_text())["stages"]]
        )
    assert found[0] == found[1]


def test_a_killed_trainer_goes_on_where_it_was(recipe):
    words = [sys.executable, "-m", "embedrun", "r.yaml"]
    killed = subprocess.run([*words, "--set", "trainer.kill_at=2"], capture_output=True, text=True, check=False)
    assert killed.returncode == -9
    assert not list(recipe.folder.glob("runs/.store/??/*/out/config.json")), "nothing half-made is published"
    done = recipe.run("r.yaml", "--json")
    assert done.code == 0
    model = next(recipe.folder.glob("runs/.store/??/*/out/config.json"))
    assert json.loads(model.read_text())["steps"] == [0, 1, 2]
    assert not list(recipe.folder.glob("runs/.store/tmp/*/"))


@pytest.mark.slow
def test_two_runs_at_once_share_the_work(recipe):
    words = [sys.executable, "-m", "embedrun", "r.yaml", "--json", "--set", "trainer.wait=0.3"]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    cached = [json.loads(out.splitlines()[-1])["stages"] for out, _ in results]
    trained = [stage for stages in cached for stage in stages if stage["slot"] == "trainer" and not stage["cached"]]
    assert len(trained) == 1


def test_until_stops_after_a_stage(recipe):
    done = recipe.run("r.yaml", "--json", "--until", "trainer")
    assert list(stages(done)) == ["source", "filters.0.copy", "evaluator.fake.base", "trainer"]
    wrong = recipe.run("r.yaml", "--until", "trainr")
    assert wrong.code == 2
    assert "did you mean 'trainer'?" in wrong.err


def test_a_limit_that_does_not_hold_fails_the_run_before_it_deploys(recipe):
    words = ["--set", "evaluator.least=0.9", "--set", "deployer.type=fake", "--set", "deployer.at=out.txt"]
    failed = recipe.run("r.yaml", *words)
    assert failed.code == 1
    assert "below 0.9" in failed.err
    assert "+0.3000" in failed.out, "the scores are shown all the same"
    assert not (recipe.folder / "out.txt").exists()
    assert recipe.run("r.yaml", "--set", "evaluator.least=0.1", *words[2:]).code == 0
    assert (recipe.folder / "out.txt").read_text() == "deployed"


def test_delete_removes_what_a_run_deployed(recipe):
    recipe.run("r.yaml", "--set", "deployer.type=fake", "--set", "deployer.at=out.txt")
    recipe.write("r2.yaml", RECIPE)
    gone = recipe.run("delete", "r")
    # the fakes are a local plugin of the recipe, so deletion must load it from the run's folder
    assert gone.code == 0, gone.err
    assert not (recipe.folder / "out.txt").exists()
    assert "nothing deployed" in recipe.run("delete", "r").out


@pytest.mark.parametrize(
    ("fail", "code", "message"),
    [
        ("data", 2, "source (fake): pairs.csv:3: the score is NaN"),
        ("bug", 1, "ZeroDivisionError: division by zero"),
        ("full", 1, "the disk is full"),
    ],
)
def test_a_failing_stage_says_so_in_one_message(recipe, fail, code, message):
    failed = recipe.run("r.yaml", "--set", f"source.fail={fail}")
    assert failed.code == code
    assert message in failed.err
    assert "Traceback" not in failed.err
    run = json.loads(next((recipe.folder / "runs/r").glob("*/run.json")).read_text())
    assert run["status"] == "failed"
    assert not list(recipe.folder.glob("runs/.store/??/*"))


def test_a_traceback_of_an_unexpected_failure_is_in_the_log(recipe):
    recipe.run("r.yaml", "--set", "source.fail=bug")
    log = next((recipe.folder / "runs/r").glob("*/log.jsonl")).read_text()
    assert "raise ZeroDivisionError" in log


def test_gc_keeps_what_runs_refer_to(recipe):
    recipe.run("r.yaml")
    assert "freed 0 results" in recipe.run("gc").out
    for run in (recipe.folder / "runs/r").iterdir():
        for file in run.rglob("*"):
            if file.is_file():
                file.unlink()
        for folder in sorted(run.rglob("*/"), reverse=True):
            folder.rmdir()
        run.rmdir()
    assert "would free 6 results" in recipe.run("gc", "--dry-run").out
    assert "freed 6 results" in recipe.run("gc").out
    assert not list(recipe.folder.glob("runs/.store/??/*"))


def test_a_lock_runs_again_to_the_same_keys(recipe):
    first = recipe.run("r.yaml", "--json")
    (recipe.folder / "fakes.py").unlink()
    again = recipe.run("run", f"{first.json['run']}/recipe.lock.json", "--json")
    assert again.code == 0, again.err
    assert all(stage["cached"] for stage in again.json["stages"])


def test_compare_shows_two_runs_side_by_side(recipe):
    recipe.run("r.yaml")
    recipe.run("r.yaml", "--set", "trainer.epochs=6")
    first, second = sorted((recipe.folder / "runs/r").iterdir())
    shown = recipe.run("compare", first, second)
    assert shown.code == 0, shown.err
    assert "+0.3000" in shown.out


def test_compare_wants_nothing_that_only_running_needs(recipe):
    recipe.write("a.txt", "one")
    for epochs in (1, 2):
        recipe.run("r.yaml", "--set", "source.file=a.txt", "--set", f"trainer.epochs={epochs}")
    recipe.write("a.txt", "broken")
    assert recipe.run("check", "r.yaml", "--set", "source.file=a.txt").code == 2
    compared = recipe.run("compare", *map(str, sorted((recipe.folder / "runs/r").iterdir())))
    assert compared.code == 0, compared.err
    assert "+0.1000" in compared.out


def test_python_runs_a_recipe_and_returns_its_scores(recipe):
    import embedrun

    result = embedrun.run("r.yaml", {"trainer.epochs": 4})
    assert result.scores["fake"]["tuned"]["ndcg@10"] == pytest.approx(0.6)
    assert next(result.stages()).slot == "source"


def test_an_interrupted_run_says_how_to_go_on(recipe):
    words = [sys.executable, "-m", "embedrun", "r.yaml", "--set", "trainer.wait=30"]

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    running = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=listen)  # noqa: PLW1509  # no threads
    assert running.stderr
    try:
        while "trainer" not in running.stderr.readline():
            pass
        running.send_signal(signal.SIGINT)
        _, shown = running.communicate(timeout=20)
    finally:
        running.kill()
    assert running.returncode == 130
    assert "run the same command again to continue from here" in shown
    assert "Traceback" not in shown
    run = json.loads(next((recipe.folder / "runs/r").glob("*/run.json")).read_text())
    assert run["status"] == "interrupted"


def test_a_terminal_shows_a_bar_for_the_running_stage(recipe):
    master, terminal = pty.openpty()
    words = [sys.executable, "-m", "embedrun", "r.yaml", "--set", "trainer.wait=0.4"]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):
        while chunk := os.read(master, 4096):
            shown += chunk
    assert running.wait(timeout=20) == 0
    assert "━" in shown.decode()
    assert "✓" in shown.decode()
    assert "trainer: training" in shown.decode()


def test_gc_keeps_what_a_killed_run_will_go_on_with(recipe):
    words = [sys.executable, "-m", "embedrun", "r.yaml", "--set", "trainer.kill_at=2"]
    subprocess.run(words, capture_output=True, check=False)
    assert "freed 0 results" in recipe.run("gc").out
    done = recipe.run("r.yaml", "--json")
    assert done.code == 0


def test_gc_finds_the_runs_of_a_project_that_moved(recipe):
    recipe.run("r.yaml", "--store", "elsewhere")
    (recipe.folder / "runs").rename(recipe.folder / "moved")
    assert "freed 0 results" in recipe.run("gc", "--store", "elsewhere", "--runs", "moved").out


def test_a_runs_folder_that_is_a_link_keeps_its_results(recipe):
    (recipe.folder / "far/away/runs").mkdir(parents=True)
    (recipe.folder / "runs").symlink_to("far/away/runs")
    assert "serve its model" in recipe.run("r.yaml").err
    assert "model: " in recipe.run("show", "r").out


def test_a_damaged_result_is_made_again(recipe):
    recipe.run("r.yaml")
    for scores in recipe.folder.glob("runs/.store/??/*/out/metrics.json"):
        scores.write_text(scores.read_text().replace("0.", "1."))
    again = stages(recipe.run("r.yaml", "--json"))
    assert not again["evaluator.fake.base"]["cached"]
    assert again["trainer"]["cached"]


def test_the_base_is_scored_before_training(recipe):
    order = list(stages(recipe.run("r.yaml", "--json")))
    assert order.index("evaluator.fake.base") < order.index("trainer")


def test_an_observer_that_fails_does_not_fail_the_run(recipe):
    hook = "@hookimpl\ndef embedrun_stage_finished(run, stage):\n    raise ValueError('oh')\n"
    recipe.write("watch.py", f"from embedrun import hookimpl\n\n{hook}")
    recipe.write("r.yaml", RECIPE.replace("[fakes.py]", "[fakes.py, watch.py]"))
    done = recipe.run("r.yaml")
    assert done.code == 0
    assert "embedrun_stage_finished failed: ValueError: oh" in done.err


def test_an_observer_hears_what_a_stage_reports_as_it_comes(recipe):
    trainer = (
        "class Reporting(FakeTrainer):\n    type: Literal['reporting'] = 'reporting'\n\n"
        "    def run(self, ctx, *inputs):\n        ctx.event('log', loss=0.5)\n"
        "        return super().run(ctx, *inputs)\n"
    )
    hooks = (
        "@hookimpl\ndef embedrun_stages():\n    return [Reporting]\n\n\n@hookimpl\n"
        "def embedrun_event(run, name, values):\n    print(run.name, name, values, file=sys.stderr)\n"
    )
    head = "import sys\nfrom typing import Literal\nfrom embedrun import hookimpl\nfrom fakes import FakeTrainer\n\n\n"
    recipe.write("watch.py", f"{head}{trainer}\n\n{hooks}")
    recipe.write(
        "r.yaml",
        RECIPE.replace("[fakes.py]", "[fakes.py, watch.py]")
        .replace("{type: fake}", "{type: reporting}")
        .replace("source: {type: reporting}", "source: {type: fake}"),
    )
    assert "r log {'loss': 0.5}" in recipe.run("r.yaml").err


def test_a_file_name_that_is_no_name_for_a_folder_is_no_hindrance(recipe):
    recipe.write("my récipe.yaml", RECIPE)
    assert recipe.run("my récipe.yaml").code == 0
    assert (recipe.folder / "runs/my-récipe").is_dir()


def test_delete_by_name_finds_what_earlier_runs_deployed(recipe):
    recipe.run("r.yaml", "--set", "deployer.type=fake", "--set", "deployer.at=out.txt")
    recipe.run("r.yaml")
    assert "deleted fake" in recipe.run("delete", "r").out
    assert not (recipe.folder / "out.txt").exists()


def test_a_file_that_changes_while_a_stage_reads_it_makes_no_result(recipe, tmp_path):
    recipe.write("data.txt", "before")
    recipe.write("r.yaml", RECIPE.replace("source: {type: fake}", "source: {type: fake, file: data.txt}"))
    recipe.write(
        "fakes.py",
        (recipe.folder / "fakes.py")
        .read_text()
        .replace('ctx.note("documents", self.size)', 'self.file.write_text("after")'),
    )
    refused = recipe.run("r.yaml", "--until", "source")
    assert refused.code == 2
    assert "data.txt: changed while it was read; run the same command again" in refused.err
    assert not list(recipe.folder.glob("runs/.store/??/*/manifest.json"))


def test_the_latest_run_is_the_one_that_began_last_whatever_was_touched_since(recipe):
    for name in ("2026-01-01T00-00-00Z", "2026-01-01T00-00-00Z-2", "2026-01-01T00-00-00Z-10", "2025-12-31T23-59-59Z"):
        recipe.run("r.yaml", "--until", "source")
        (run,) = [
            path
            for path in (recipe.folder / "runs/r").iterdir()
            if path.name[:4] != "2025" and path.name[:10] != "2026-01-01"
        ]
        run.rename(run.with_name(name))
    assert recipe.run("show", "r").out.startswith("runs/r/2026-01-01T00-00-00Z-10: done")


def test_delete_removes_what_it_can_where_one_record_is_damaged(recipe):
    recipe.write(
        "r.yaml",
        (recipe.folder / "r.yaml").read_text() + "deployer: [{type: fake, at: first}, {type: fake, at: second}]\n",
    )
    assert recipe.run("r.yaml").code == 0
    (run,) = (recipe.folder / "runs/r").iterdir()
    for damage in (
        "",
        "null",
        "{}",
        '{"endpoint": 5, "deployer": []}',
        '{"endpoint": {"deployer": "fake"}, "deployer": "fake"}',
    ):
        (run / "deployments/fake/endpoint.json").write_text(damage)
        outcome = recipe.run("delete", "r")
        assert outcome.code == 2
        assert "fake/endpoint.json" in outcome.err
    assert not (recipe.folder / "second").exists()
    assert (run / "deployments/fake.2/deleted.json").exists()
