"""`embedrun sweep`: trials on dev, the winner on test, killed and continued, within a budget."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest

from embedrun.yamlfile import parse
from fake_trainings import RATES, RECIPE


def test_the_winner_beats_the_shipped_setting_and_it_alone_is_judged_on_test(shop):
    done = shop.sweep("--trials", "5", "--json")
    assert done.code == 0, done.err
    results = done.json
    shipped, best = results["trials"][0], results["trials"][results["best"]]
    assert shipped["number"] == 0
    assert shipped["values"] == {"trainer.learning_rate": 1e-4}
    assert shipped["score"] == pytest.approx(0.6)
    assert best["score"] > shipped["score"]
    assert best["score"] == max(trial["score"] for trial in results["trials"] if trial["state"] == "done")
    records = shop.records()
    assert len(records) == 5
    assert all(list(record["scores"]) == ["curve.2"] for record in records), "no trial was scored on test"
    assert [record["status"] for record in records].count("done") >= 4
    assert [shop.made(slot) for slot in ("source", "evaluator.curve.2.base")] == [1, 1], "shared by all trials"
    assert shop.made("trainer") == len([trial for trial in results["trials"] if trial["state"] == "done"])
    (file,) = shop.folder.glob("runs/shop/2*/run.json")
    judged = json.loads(file.read_text("utf-8"))
    assert judged["scores"]["curve"]["tuned"]["ndcg@10"] == pytest.approx(best["score"])
    assert next(stage for stage in judged["stages"] if stage["slot"] == "trainer")["cached"]
    assert results["test"]["comparisons"]["curve"][0]["verdict"]


def test_the_tables_and_the_report_say_what_was_found(shop):
    done = shop.sweep("--trials", "5", settings=(RATES, "trainer.layers=2,4"))
    assert done.code == 0, done.err
    assert re.search(r"^0 \(shipped\) +0\.6000 +2|^0 \(shipped\) +0\.6000 ", done.out, re.MULTILINE)
    assert "trainer.learning_rate" in done.out.split("what mattered")[1]
    assert "best on dev: trial" in done.out
    assert "looks better on it than it is" in done.out
    assert "the winner on test" in done.out
    page = (shop.folder / "runs/shop/sweep-1/report.html").read_text("utf-8")
    for words in (
        "Sweep of shop",
        "What mattered",
        "Trial by trial",
        "0, shipped",
        "The winner on test",
        "default-src",
    ):
        assert words in page
    assert not re.search(r"(src|href)=\"http", page)


def test_the_winners_recipe_keeps_its_comments_and_reuses_the_training(shop):
    assert shop.sweep("--trials", "4").code == 0
    text = (shop.folder / "best.yaml").read_text("utf-8")
    for comment in ("# Trial ", "# The shop's own recipe.", "# Trains.", "# as in the paper"):
        assert comment in text
    written = parse(text, "best.yaml").data
    assert written["trainer"]["learning_rate"] != 1e-4
    assert written["trainer"]["eval_strategy"] == "epoch"
    assert {k: v for k, v in written.items() if k != "trainer"} == {
        k: v for k, v in parse(RECIPE, "shop.yaml").data.items() if k != "trainer"
    }
    again = shop.project.run("best.yaml", "--json")
    assert again.code == 0, again.err
    assert all(stage["cached"] for stage in again.json["stages"])


def test_a_recipe_elsewhere_is_written_with_paths_that_hold(shop):
    (shop.folder / "deep").mkdir()
    done = shop.sweep("--trials", "2", "--write", "deep/er/chosen.yaml", "--pruner", "none")
    assert done.code == 0, done.err
    written = parse((shop.folder / "deep/er/chosen.yaml").read_text("utf-8"), "").data
    assert written["plugins"] == ["../../fakes.py", "../../fake_trainings.py"]
    assert written["model"] == "../../model"
    assert "eval_strategy" not in written["trainer"], "nothing is added where nothing is pruned"
    assert shop.project.run("check", "deep/er/chosen.yaml").code == 0


def test_a_file_that_the_sweep_did_not_write_is_left_alone(shop):
    shop.project.write("best.yaml", "mine")
    done = shop.sweep("--trials", "2")
    assert done.code == 2
    assert "best.yaml: exists already" in done.err
    assert not shop.records()


def test_bad_trials_are_pruned_by_their_dev_scores_and_end_cleanly(shop):
    done = shop.sweep(
        "--trials",
        "6",
        "--sampler",
        "random",
        "--json",
        settings=("trainer.learning_rate=1e-3,1e-2,1e-4,1e-6,1e-7,1e-5",),
    )
    assert done.code == 0, done.err
    pruned = [trial for trial in done.json["trials"] if trial["state"] == "pruned"]
    assert pruned
    assert len(done.json["trials"]) == 6, "each value once"
    for trial in pruned:
        record = json.loads((shop.folder / "runs/shop/sweep-1" / trial["run"] / "run.json").read_text("utf-8"))
        assert record["status"] == "interrupted"
        assert record["error"].startswith("pruned at step ")
        assert trial["score"] is not None
    assert done.json["trials"][0]["state"] == "done", "the shipped setting never is"


def start(shop, *words):
    command = [sys.executable, "-m", "embedrun", "sweep", "shop.yaml", "--set", RATES, *words]
    return subprocess.Popen(command, cwd=shop.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_sweep_goes_on_in_the_trial_that_it_was_in(shop):
    slow = ("--trials", "4", "--set", "trainer.wait=0.5")
    process = start(shop, *slow)
    wait_for(lambda: (shop.folder / "runs/shop/sweep-1/trial-1").exists() and shop.made("trainer") == 1)
    wait_for(lambda: any(f.read_text() == "2" for f in shop.folder.glob("runs/.store/tmp/*/state/epochs")))
    process.kill()
    process.communicate()
    done = shop.sweep(*slow, "--json")
    assert done.code == 0, done.err
    assert "going on with runs/shop/sweep-1: 1 of 4 trials are done" in done.err
    assert [trial["number"] for trial in done.json["trials"]] == [0, 1, 2, 3]
    assert {trial["state"] for trial in done.json["trials"]} <= {"done", "pruned"}
    went_on = [
        s["notes"]["went on from"]
        for r in shop.records("sweep-1/trial-1")
        for s in r["stages"]
        if s["slot"] == "trainer"
    ]
    assert went_on[-1] >= 2, "the second training's first epochs were not made again"
    assert shop.made("source") == 1
    facts = json.loads((shop.folder / "runs/shop/sweep-1/sweep.json").read_text("utf-8"))
    assert len(facts["sessions"]) == 2


def test_a_sweep_draws_the_same_settings_whether_or_not_it_was_ended_in_between(shop):
    values = [trial["values"] for trial in shop.sweep("--trials", "4", "--pruner", "none", "--json").json["trials"]]
    shutil.rmtree(shop.folder / "runs")
    (shop.folder / "best.yaml").unlink()
    for trials in ("2", "4"):
        done = shop.sweep("--trials", trials, "--pruner", "none", "--json")
    assert [trial["values"] for trial in done.json["trials"]] == values


def test_ctrl_c_ends_trials_and_says_how_to_go_on(shop):
    process = start(shop, "--trials", "4", "--set", "trainer.wait=0.5")
    wait_for(lambda: any(shop.folder.glob("runs/.store/tmp/*/state/epochs")))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert "run the same command again to go on" in out
    assert "Traceback" not in out


def test_no_trial_begins_that_the_budget_has_no_room_for(shop):
    began = time.monotonic()
    done = shop.sweep("--trials", "50", "--budget", "40s", "--set", "trainer.wait=0.7", "--json")
    assert done.code == 0, done.err
    assert time.monotonic() - began < 40 + 3
    assert "the budget has no room for another trial" in done.err
    assert 1 <= len(done.json["trials"]) < 50
    assert {trial["state"] for trial in done.json["trials"]} <= {"done", "pruned"}
    assert done.json["test"]["run"], "the winner was judged all the same"
    more = shop.sweep("--trials", "50", "--budget", "41s", "--set", "trainer.wait=0.7", "--json")
    assert len(more.json["trials"]) == len(done.json["trials"]), "sessions count together"
    assert len(list(shop.folder.glob("runs/shop/2*"))) == 1, "the same winner is not judged again"
