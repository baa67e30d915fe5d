"""The runtime `sagemaker`, against a loopback AWS whose jobs are our own container's command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import loopback_aws
import model_containers
from embedrun.testing import small_set, tiny_model
from embedrun_plugins.services.ledger import resources
from loopback_aws import LoopbackAws

# A request that Ctrl-C cuts off leaves its socket to the end of the process, which is near.
pytestmark = pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning")
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
        monkeypatch.setattr(resources, "PAUSES", (0.1, 0.3))
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
        yield account
        signal.signal(signal.SIGINT, before)


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


@pytest.mark.slow
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
    assert shop.run("resources").out.startswith("nothing is in the cloud")
    again = shop.run("shop.yaml")
    assert again.code == 0, again.err
    assert all(stage["cached"] for stage in record(shop)["stages"])
    assert digests(shop) == made
    assert len(aws.trainings.jobs) == 1


LONG = ("--set", "trainer.epochs=80", "--set", "trainer.logging_steps=10")
"""Long enough that it is still at it when it is interrupted, also on a busy machine."""


def when_training(aws: LoopbackAws, then: Any) -> threading.Thread:
    """Call back once the newest job has trained for some steps."""

    def wait() -> None:
        until = time.monotonic() + 90
        while time.monotonic() < until:
            for name, job in list(aws.trainings.jobs.items()):
                if job.described["TrainingJobStatus"] == "InProgress" and "train:step=10" in printed(aws, name):
                    then(name)
                    return
            time.sleep(0.1)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def printed(aws: LoopbackAws, name: str) -> str:
    """Return what a job's machines have printed."""
    logs = aws.client("logs")
    group = {"logGroupName": "/aws/sagemaker/TrainingJobs"}
    if not logs.describe_log_groups(logGroupNamePrefix=group["logGroupName"])["logGroups"]:
        return ""
    streams = logs.describe_log_streams(**group, logStreamNamePrefix=f"{name}/")["logStreams"]
    found = [logs.get_log_events(**group, logStreamName=one["logStreamName"])["events"] for one in streams]
    return "\n".join(event["message"] for events in found for event in events)


def interrupt_here(_: str) -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(scope="module")
def here(material) -> dict[str, str]:
    """The digests that the long run has on this machine alone."""
    (material / "shop.yaml").write_text(RECIPE, "utf-8")
    words = [sys.executable, "-m", "embedrun", "shop.yaml", *LONG]
    subprocess.run(words, cwd=material, capture_output=True, check=True)
    (file,) = material.glob("runs/shop/*/run.json")
    return {stage["slot"]: stage["digest"] for stage in json.loads(file.read_text("utf-8"))["stages"]}


@pytest.mark.slow
def test_a_client_that_was_interrupted_finds_the_job_again(shop, aws, here):
    waiting = when_training(aws, interrupt_here)
    left = shop.run("cloud.yaml", *LONG)
    waiting.join()
    assert left.code == 130, left.err
    (name,) = aws.trainings.jobs
    assert f"{name} continues, and costs money" in left.err
    assert [row["status"] for row in shop.run("resources", "--json").json] == ["InProgress"]
    again = shop.run("cloud.yaml", *LONG)
    assert again.code == 0, again.err
    assert f"{name} is doing this work already" in again.err
    assert list(aws.trainings.jobs) == [name]
    assert digests(shop) == here
    assert aws.left() == []


def test_a_job_that_the_user_stops_leaves_a_checkpoint_from_which_the_next_goes_on(shop, aws, here, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    waiting = when_training(aws, interrupt_here)
    stopped = shop.run("cloud.yaml", *LONG)
    waiting.join()
    assert stopped.code == 130, stopped.err
    assert "has been asked to stop" in stopped.err
    again = shop.run("cloud.yaml", *LONG)
    assert again.code == 0, again.err
    first, second = aws.trainings.jobs.values()
    assert first.described["TrainingJobStatus"] == "Stopped"
    assert "train:step=10 " not in printed(aws, second.name).replace("\n", " ")
    assert digests(shop) == here
    assert aws.left() == []


def test_a_spot_machine_that_is_taken_away_is_followed_by_one_that_goes_on(shop, aws, here):
    waiting = when_training(aws, aws.trainings.interrupt)
    done = shop.run("cloud.yaml", *LONG, "--set", "runtime.spot=true")
    waiting.join()
    assert done.code == 0, done.err
    (job,) = aws.trainings.jobs.values()
    assert job.described["EnableManagedSpotTraining"] is True
    assert job.described["StoppingCondition"]["MaxWaitTimeInSeconds"] == 2 * 24 * 3600
    assert "Interrupted: Training job interrupted by spot capacity" in done.err
    assert digests(shop) == here


def test_two_machines_make_the_model_that_two_processes_make_here(shop, aws):
    assert shop.run("shop.yaml", "--set", "trainer.processes=2", "--store", "elsewhere").code == 0
    made = digests(shop)
    two = ("--set", "trainer.processes=2", "--set", "runtime.instances=2")
    done = shop.run("cloud.yaml", *two)
    assert done.code == 0, done.err
    assert "127.0.0.1: train:loss=" in done.err
    assert digests(shop) == made
    assert all(stage["cached"] for stage in (shop.run("shop.yaml", *two[:2]), record(shop)["stages"])[1])


def test_what_fails_in_a_job_is_told_here_and_deleted_with_its_run(shop, aws):
    failed = shop.run("cloud.yaml", "--set", "evaluator.require=[{metric: ndcg@10, min: 1.5}]")
    assert failed.code != 0
    assert "ndcg@10" in failed.err
    (job,) = aws.trainings.jobs.values()
    assert job.described["TrainingJobStatus"] == "Failed"
    assert record(shop)["status"] == "failed"
    assert {stage["slot"] for stage in record(shop)["stages"]} >= {"source", "trainer"}
    assert aws.left() != []
    deleted = shop.run("delete", "shop")
    assert deleted.code == 0, deleted.err
    assert aws.left() == []


def test_a_job_that_breaks_before_its_run_is_explained_by_its_last_words(shop, aws):
    aws.trainings.environment = {"PYTHONPATH": "/nowhere", "PYTHONHOME": "/nowhere"}
    failed = shop.run("cloud.yaml")
    assert failed.code == 1
    assert "failed: AlgorithmError" in failed.err
    assert "its last lines:" in failed.err
    assert record(shop)["status"] == "failed"


def test_delete_stops_a_job_that_runs(shop, aws):
    waiting = when_training(aws, interrupt_here)
    assert shop.run("cloud.yaml", *LONG).code == 130
    waiting.join()
    deleted = shop.run("delete", "--all")
    assert deleted.code == 0, deleted.err
    (job,) = aws.trainings.jobs.values()
    assert job.described["TrainingJobStatus"] == "Stopped"
    assert aws.left() == []


class Terminal(io.StringIO):
    """Somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["runtime.instances=2"], "2 machines cannot share 1 training processes; set trainer.processes to 2"),
        (["runtime.instance_type=ml.g5.xlarge", "trainer.processes=4"], "4 training processes cannot share 1 GPUs"),
        (["trainer=null", "loss=null", "runtime.instances=2"], "without a trainer, a recipe runs on one machine only"),
        (["runtime.max_age_hours=2"], "max_age_hours: 2 is less than the 24 hours that the job may take"),
        (["runtime.max_wait_hours=3"], "max_wait_hours: has an effect only with spot: true"),
        (["runtime.env=[NOT_SET]"], "the environment variable NOT_SET is not set"),
        (["runtime.bucket=nobodys"], "there is no bucket 'nobodys'"),
        (["runtime.instance_type=ml.q9.huge"], "Member must satisfy enum value set"),
    ],
)
def test_what_cannot_be_is_said_before_anything_runs(shop, aws, settings, said):
    failed = shop.run("cloud.yaml", *(word for setting in settings for word in ("--set", setting)))
    assert failed.code != 0
    assert said in failed.err
    assert aws.trainings.jobs == {}
    shop.run("delete", "--all")
    assert aws.left() == []


def test_secrets_reach_neither_the_job_nor_a_file(shop, aws, monkeypatch):
    monkeypatch.setenv("TEAM_NAME", "search")
    done = shop.run("cloud.yaml", "--set", "runtime.env=[TEAM_NAME]", "--set", "runtime.keep=true")
    assert done.code == 0, done.err
    (job,) = aws.trainings.jobs.values()
    assert job.described["Environment"] == {"TEAM_NAME": "search"}
    told = json.dumps(job.described, default=str) + done.err + done.out
    files = [file.read_bytes() for file in shop.folder.rglob("*") if file.is_file()]
    s3 = aws.client("s3")
    objects = [
        s3.get_object(Bucket=bucket["Name"], Key=one["Key"])["Body"].read()
        for bucket in s3.list_buckets()["Buckets"]
        for one in s3.list_objects_v2(Bucket=bucket["Name"])["Contents"]
    ]
    for secret in loopback_aws.SECRETS.values():
        assert secret not in told
        assert not any(secret.encode() in content for content in (*files, *objects))
    kept = [name for name in aws.left() if name.startswith("s3://")]
    assert sorted(name.rpartition("/")[2] for name in kept) == ["model.tar.gz", "output.tar.gz"]
    assert shop.run("delete", "shop").code == 0
    assert aws.left() == []


def test_another_store_and_another_image_are_no_reason_for_holes(shop, aws):
    assert shop.run("cloud.yaml", "--until", "evaluator.information_retrieval.base", "--on", "local").code == 0
    waiting = when_training(aws, interrupt_here)
    assert shop.run("cloud.yaml", *LONG).code == 130
    waiting.join()
    served = ("--set", "deployer.type=directory", "--set", "deployer.path=served")
    done = shop.run("cloud.yaml", *LONG, *served, "--store", "another")
    assert done.code == 0, done.err
    assert len(aws.trainings.jobs) == 1
    slots = [stage["slot"] for stage in record(shop)["stages"]]
    assert len(slots) == len(set(slots))
    assert shop.run("plan", "shop.yaml", *LONG, "--store", "another", "--json").json["stages"][0]["status"] == "cached"
    assert (shop.folder / "served/modules.json").exists()
    assert shop.run("cloud.yaml", "--set", f"runtime.image={IMAGE}2").code == 0
    assert len(aws.trainings.jobs) == 2


def test_two_clients_of_one_job_both_have_its_results(shop, aws):
    others = []

    def join(_: str) -> None:
        words = [sys.executable, "-m", "embedrun", "cloud.yaml", *LONG]
        others.append(subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))

    waiting = when_training(aws, join)
    done = shop.run("cloud.yaml", *LONG)
    waiting.join()
    said, _ = others[0].communicate(timeout=120)
    assert (done.code, others[0].returncode) == (0, 0), done.err + said
    assert len(aws.trainings.jobs) == 1
    assert {json.loads(file.read_text("utf-8"))["status"] for file in shop.folder.glob("runs/shop/*/run.json")} == {
        "done"
    }
    assert aws.left() == []


def test_a_job_that_was_stopped_elsewhere_is_told_so(shop, aws):
    waiting = when_training(aws, lambda name: aws.trainings.operations({"TrainingJobName": name})["StopTrainingJob"]())
    stopped = shop.run("cloud.yaml", *LONG)
    waiting.join()
    assert stopped.code == 1
    assert "was stopped by somebody, be it in the console or by `embedrun delete`" in stopped.err
    assert "was stopped" in record(shop)["error"]
