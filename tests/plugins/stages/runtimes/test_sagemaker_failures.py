"""Whatever fails, and whenever the client is killed: its job is found again, and all that was made is removed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import wait
from itertools import count
from typing import Any

import pytest
from botocore.retries.standard import ExponentialBackoff

import plain_training
from embedrun_plugins.services import aws as aws_clients
from embedrun_plugins.services.ledger.ledger import Ledger
from embedrun_plugins.stages.runtimes.sagemaker_job import training_job
from loopback_aws import Fault, LoopbackAws
from training_simulator import Trained

CALLS = 30
"""A run takes more."""
WORDS: dict[Fault, str] = {
    "denied": "lacks the right|may not be used|403|iam:GetRole is not allowed",
    "gone": "[Cc]onnection|closed|does not answer|cannot be downloaded",
}
"""What a user is told, in one form or another; of a HEAD, S3 answers the status alone."""


def NOTHING(_number: int, _name: str) -> None:  # noqa: N802  # a constant that can be called
    """Disturb no call."""


@pytest.fixture
def aws(plain_aws) -> LoopbackAws:
    return plain_aws


def disturbed(aws: LoopbackAws, number: int) -> str | None:
    """Return the call that was disturbed; None where the run was over before."""
    return aws.front.calls[number].name if number < len(aws.front.calls) else None


def failing(aws: LoopbackAws, plain: Any, store: object, fails: Callable[[int, str], Fault | None]) -> Any:
    """Run while calls fail."""
    aws.front.failing = fails
    try:
        return plain.run("plain.yaml", "--store", f"stores/{store}")
    finally:
        aws.front.failing = NOTHING


def statuses(plain: Any) -> list[str]:
    """Return how all runs ended."""
    files = sorted(plain.folder.glob("runs/plain/*/run.json"), key=lambda path: path.stat().st_mtime_ns)
    return [str(json.loads(file.read_text("utf-8"))["status"]) for file in files]


def require_told(done: Any, fault: Fault, name: str | None) -> None:
    """Require that a run passed, or told what was wrong."""
    assert done.code in (0, 1, 2), name
    assert "Traceback" not in done.err, name
    assert done.code == 0 or re.search(WORDS[fault], done.err), (name, done.err)


def delete_all(plain: Any, aws: LoopbackAws, name: str | None) -> None:
    deleted = plain.run("delete", "--all")
    assert deleted.code == 0, (name, deleted.err)
    assert list(Ledger().entries()) == [], name
    assert aws.left() == [], name


def test_whatever_right_is_lacking_is_told_and_nothing_is_left(plain, aws):
    assert plain.run("plain.yaml", "--store", "stores/whole").code == 0
    assert aws.left() == []
    passed = []
    for name in dict.fromkeys(call.name for call in list(aws.front.calls)):
        done = failing(aws, plain, name, lambda _, asked, name=name: "denied" if asked == name else None)
        require_told(done, "denied", name)
        assert statuses(plain).pop() == "done" if done.code == 0 else "running" not in statuses(plain), name
        passed += [name] if done.code == 0 else []
        delete_all(plain, aws, name)
    assert {"Logs.DescribeLogStreams", "S3.DELETE key"} <= set(passed)
    assert not {"SageMaker.CreateTrainingJob", "S3.PUT key", "S3.GET key"} & set(passed)


def test_whenever_the_network_is_lost_it_is_told_and_nothing_is_left(plain, aws):
    for place in count():
        first = len(aws.front.calls)
        done = failing(aws, plain, place, lambda number, _, at=first + place: "gone" if number >= at else None)
        name = disturbed(aws, first + place)
        require_told(done, "gone", name)
        delete_all(plain, aws, name)
        if name is None:
            break
    assert place > CALLS


def test_calls_that_are_throttled_once_are_called_again(plain, aws, monkeypatch):
    monkeypatch.setattr(aws_clients, "TRIES", 6)
    monkeypatch.setattr(ExponentialBackoff, "delay_amount", lambda *_: 0.01)
    first = len(aws.front.calls)
    attempts = [f"attempt={number}" for number in (1, 2)]

    def throttled(number: int, _: str) -> Fault | None:
        return "throttled" if attempts[0] in aws.front.calls[number].headers["amz-sdk-request"] else None

    done = failing(aws, plain, "throttled", throttled)
    assert done.code == 0, done.err
    made = [call.headers["amz-sdk-request"] for call in aws.front.calls[first:]]
    once, twice = (sum(attempt in header for header in made) for attempt in attempts)
    assert once == twice > CALLS
    assert aws.left() == []


def test_a_network_that_is_gone_for_a_while_is_borne(plain, aws, monkeypatch):
    monkeypatch.setattr(training_job, "PATIENCE", 60.0)
    asked: list[str] = []

    def lost(_: int, name: str) -> Fault | None:
        asked.append(name)
        return "gone" if 1 < asked.count("SageMaker.DescribeTrainingJob") < 4 else None

    done = failing(aws, plain, "lost", lost)
    assert done.code == 0, done.err
    (name,) = aws.trainings.jobs
    assert done.err.count(f"warning: {name}: its status cannot be read now") == 1
    assert aws.left() == []


def lose_sight(aws: LoopbackAws, plain: Any) -> tuple[Any, Trained]:
    """Run until the network is lost while the job is watched."""
    asked: list[str] = []

    def lost(_: int, name: str) -> Fault | None:
        asked.append(name)
        return "gone" if asked.count("SageMaker.DescribeTrainingJob") > 1 else None

    done = failing(aws, plain, "lost", lost)
    assert done.code != 0
    (job,) = aws.trainings.jobs.values()
    return done, job


def test_who_loses_sight_of_a_job_is_told_that_it_goes_on(plain, aws):
    done, job = lose_sight(aws, plain)
    assert f"{job.name} may continue, and cost money" in done.err
    again = plain.run("plain.yaml", "--store", "stores/lost")
    assert again.code == 0, again.err
    assert list(aws.trainings.jobs) == [job.name]
    assert aws.left() == []


def test_results_that_are_gone_are_made_again_by_the_run_after_the_next(plain, aws):
    _, job = lose_sight(aws, plain)
    wait([job.work], 10)
    s3 = aws.client("s3")
    (bucket,) = (one["Name"] for one in s3.list_buckets()["Buckets"])
    for one in s3.list_objects_v2(Bucket=bucket)["Contents"]:
        s3.delete_object(Bucket=bucket, Key=one["Key"])
    gone = plain.run("plain.yaml", "--store", "stores/lost")
    assert gone.code == 1
    assert "its results are no longer in S3; run it again" in gone.err
    again = plain.run("plain.yaml", "--store", "stores/lost")
    assert again.code == 0, again.err
    assert len(aws.trainings.jobs) == 2
    assert aws.left() == []


def killed(
    aws: LoopbackAws, plain: Any, forkserver: Any, store: object, after: Callable[[int, str], bool]
) -> str | None:
    """Run in a process of its own that is killed after a call; return the call, or None where none was the one."""
    first, last = len(aws.front.calls), []
    client = forkserver.Process(
        target=plain_training.run, args=(plain.folder, f"stores/{store}", aws.environment(plain.folder))
    )

    def kill(number: int, name: str) -> None:
        if not last and after(number - first, name):
            last.append(name)
            os.kill(client.pid, signal.SIGKILL)

    aws.front.passed = kill
    client.start()
    client.join(60)
    aws.front.passed = NOTHING
    assert client.exitcode == (-signal.SIGKILL if last else 0), (plain.folder / "said.txt").read_text("utf-8")
    return last[0] if last else None


def test_killed_after_any_call_the_next_run_finishes_with_the_job_that_there_is(plain, aws, forkserver):
    for place in count():
        aws.trainings.jobs.clear()
        name = killed(aws, plain, forkserver, place, lambda number, _, place=place: number == place)
        begun = list(aws.trainings.jobs)
        again = plain.run("plain.yaml", "--store", f"stores/{place}")
        assert again.code == 0, (name, again.err)
        assert statuses(plain).pop() == "done", name
        assert len(aws.trainings.jobs) == 1, name
        assert list(aws.trainings.jobs)[: len(begun)] == begun, name
        delete_all(plain, aws, name)
        if name is None:
            break
    assert place > CALLS


def test_killed_after_any_call_everything_is_found_and_removed(plain, aws, forkserver):
    first = len(aws.front.calls)
    assert plain.run("plain.yaml", "--store", "stores/whole").code == 0
    names = dict.fromkeys(call.name for call in aws.front.calls[first:])
    names.pop("AWSPriceListService.GetProducts")  # asked once a week
    for name in names:
        assert killed(aws, plain, forkserver, name, lambda _, asked, name=name: asked == name) == name
        delete_all(plain, aws, name)


def test_a_job_that_still_runs_is_never_begun_a_second_time(plain, aws, forkserver):
    end = plain.folder / "end"
    *words, script, name = aws.trainings.command
    aws.trainings.command = (*words, f"while [ ! -e {end} ]; do sleep 0.05; done; {script}", name)
    killed(aws, plain, forkserver, "runs", lambda _, name: name == "SageMaker.CreateTrainingJob")
    (job,) = aws.trainings.jobs.values()
    found = job.described["TrainingJobStatus"]

    def watched(_: int, name: str) -> None:
        if name == "SageMaker.DescribeTrainingJob":
            end.touch()

    again = failing(aws, plain, "runs", watched)
    assert again.code == 0, again.err
    assert found == "InProgress"
    assert f"{job.name} is doing this work already" in again.err
    assert list(aws.trainings.jobs) == [job.name]
    assert aws.left() == []
