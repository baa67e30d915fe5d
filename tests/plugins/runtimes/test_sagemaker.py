"""The runtime `sagemaker`, against a loopback AWS whose jobs are our own container's command."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loopback_aws
import model_containers
from embedrun.testing import small_set, tiny_model
from loopback_aws import LoopbackAws

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/embedrun:mine"
RECIPE = """
name: shop
model: ./model
source: {type: beir, path: data}
loss: multiple_negatives_ranking
trainer: {type: sentence_transformers, epochs: 2, batch_size: 2, learning_rate: 1e-3, logging_steps: 3}
evaluator: information_retrieval
"""
RUNTIME = f"""
runtime: {{type: sagemaker, instance_type: ml.m5.xlarge, image: "{IMAGE}"}}
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    small_set(folder / "data")
    tiny_model(folder / "model")
    return folder


@pytest.fixture
def aws(monkeypatch, tmp_path) -> Iterator[LoopbackAws]:
    with loopback_aws.running(model_containers.script) as account:
        account.use(monkeypatch, tmp_path)
        yield account


@pytest.fixture
def shop(project, aws, material):
    for name in ("data", "model"):
        (project.folder / name).symlink_to(material / name)
    project.write("shop.yaml", RECIPE)
    project.write("cloud.yaml", RECIPE + RUNTIME)
    return project


def record(project) -> dict[str, Any]:
    file = max(project.folder.glob("runs/shop/*/run.json"))
    return json.loads(file.read_text("utf-8"))


def digests(project) -> dict[str, str]:
    return {stage["slot"]: stage["digest"] for stage in record(project)["stages"]}


def test_a_run_in_a_job_comes_back_whole_and_leaves_nothing(shop, aws):
    done = shop.run("cloud.yaml")
    assert done.code == 0, done.err
    there = record(shop)
    assert there["status"] == "done"
    assert there["job"]["name"].startswith("embedrun-shop-")
    assert "ndcg@10" in done.out
    assert "train:loss=" in done.err
    made = digests(shop)
    assert aws.left() == []
    assert shop.run("resources").out.startswith("nothing lives in the cloud")
    again = shop.run("shop.yaml")
    assert again.code == 0, again.err
    assert all(stage["cached"] for stage in record(shop)["stages"])
    assert digests(shop) == made
    assert len(aws.trainings.jobs) == 1
