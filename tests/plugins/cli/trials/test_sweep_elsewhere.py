"""A sweep whose trainings are SageMaker jobs, against a loopback AWS, and one with several trials at once."""

from __future__ import annotations

import json
import time

import pytest

import loopback_aws
import model_containers
from embedrun.testing import tiny_model
from embedrun_plugins.services.ledger import resources
from fake_trainings import RECIPE

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/embedrun:mine"
RUNTIME = f'runtime: {{type: sagemaker, instance_type: ml.m5.xlarge, image: "{IMAGE}"}}\n'


@pytest.mark.aws
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_each_training_is_a_job_and_its_model_is_scored_here_on_dev_alone(shop, monkeypatch, tmp_path):
    monkeypatch.setattr(resources, "PAUSES", (0.1, 0.3))
    (shop.folder / "model/config.json").unlink()
    tiny_model(shop.folder / "model")
    shop.project.write("shop.yaml", RECIPE + RUNTIME)
    with loopback_aws.running(model_containers.script) as aws:
        aws.use(monkeypatch, tmp_path)
        done = shop.sweep("--trials", "2", "--json", settings=("trainer.learning_rate=1e-4,1e-3",))
        assert done.code == 0, done.err
        assert len(aws.trainings.jobs) == 2
        assert aws.left() == []
    assert [trial["state"] for trial in done.json["trials"]] == ["done", "done"]
    for record in shop.records():
        assert record["job"]["name"].startswith("embedrun-trial-")
        assert list(record["scores"]["curve.2"]) == ["base", "tuned"]
        assert "tuned" not in record["scores"].get("curve", {}), "test is for the winner"
    (file,) = shop.folder.glob("runs/shop/2*/run.json")
    assert list(json.loads(file.read_text("utf-8"))["scores"]["curve"]) == ["base", "tuned"]


def test_trials_at_once_share_what_they_have_in_common(shop):
    began = time.time()
    done = shop.sweep("--trials", "3", "--parallel", "3", "--json", "--set", "trainer.wait=1.5")
    assert done.code == 0, done.err
    assert [shop.made(slot) for slot in ("source", "evaluator.curve.2.base")] == [1, 1]
    starts = [line for line in done.err.splitlines() if line.startswith("trial ") and "trainer (curve)" in line]
    ends = [line for line in done.err.splitlines() if "on dev," in line]
    lines = done.err.splitlines()
    assert max(lines.index(line) for line in starts) < min(lines.index(line) for line in ends), "all at once"
    assert time.time() - began < 60
