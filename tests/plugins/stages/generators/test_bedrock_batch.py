"""Bedrock's batch jobs, against a stand-in for S3 and for the jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

import fake_batches
import fake_llm
from embedrun.errors import StageError, UserError
from embedrun_plugins.services.language_models.prices import TokenPrice
from embedrun_plugins.stages.generators import bedrock_batch
from embedrun_plugins.stages.generators.bedrock import Bedrock
from fake_services import serving

ROLE = "arn:aws:iam::123456789012:role/batch"


@pytest.fixture
def batches(model) -> fake_batches.Batches:
    return fake_batches.Batches(model)


@pytest.fixture
def cloud(model, batches, monkeypatch):
    with serving(*fake_llm.routes(model), *fake_batches.routes(batches)) as services:
        monkeypatch.setenv("AWS_ENDPOINT_URL", services.url)
        yield services


def stage(**given: Any) -> Bedrock:
    return Bedrock(batch={"s3_uri": "s3://bucket/my/folder", "role_arn": ROLE, "poll_seconds": 0.01}, **given)


def test_a_batch_answers_all_at_half_the_price_as_single_requests_would(cloud, batches, ask, passages):
    batches.looks = 3
    ran = ask(stage(), passages(120))
    assert cloud.count(r"/model-invocation-job$") == 1
    assert cloud.count(r"/converse$") == 0
    assert ran.notes["questions"] == 240
    listed = TokenPrice(input=2.65, output=3.5).of(ran.notes["input_tokens"], ran.notes["output_tokens"])
    assert ran.notes["usd"] == pytest.approx(listed / 2, abs=1e-4)
    assert "batch job 000000000001 (InProgress)" in ran.labels
    (job,) = batches.jobs.values()
    assert (job["modelInvocationType"], job["roleArn"], job["timeoutDurationInHours"]) == ("Converse", ROLE, 24)
    (records,) = (text for name, text in batches.files.items() if name.endswith("records.jsonl"))
    body = json.loads(records.splitlines()[0])["modelInput"]
    assert set(body) == {"messages", "system", "inferenceConfig"}
    again = ask(Bedrock(), passages(120))
    assert (again.notes["answers_reused"], again.notes["usd"]) == (120, ran.notes["usd"])


def test_a_job_submitted_before_a_kill_is_waited_for_not_submitted_again(cloud, batches, ask, passages, monkeypatch):
    batches.looks = 2

    def killed(_: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bedrock_batch.time, "sleep", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(stage(), passages(110), state="state")
    ran = ask(stage(), passages(110), state="state")
    assert cloud.count(r"/model-invocation-job$") == 1
    assert ran.notes["questions"] == 220


def test_a_job_that_was_created_but_not_written_down_is_found_by_its_token(cloud, batches, ask, passages, monkeypatch):
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(bedrock_batch.Batches, "_remember", killed)
        with pytest.raises(KeyboardInterrupt):
            ask(stage(), passages(110), state="state")
    ask(stage(), passages(110), state="state")
    assert len(batches.jobs) == 1


def test_many_requests_become_several_jobs_of_equal_size(cloud, batches, ask, passages, monkeypatch):
    monkeypatch.setattr(bedrock_batch, "MOST", 150)
    assert ask(stage(), passages(302)).notes["questions"] == 604
    sizes = [len(text.splitlines()) for name, text in sorted(batches.files.items()) if name.endswith("records.jsonl")]
    assert sorted(sizes) == [100, 101, 101]


def test_what_a_batch_leaves_unanswered_is_asked_one_by_one(cloud, model, ask, passages):
    model.troubles = fake_llm.Troubles(break_off=15, garbage=30, content_filter=30)
    ran = ask(stage(), passages(120))
    assert 0 < cloud.count(r"/converse$") < 30
    assert ran.notes["passages_without"] == ran.notes["declined"] > 0


def test_fewer_requests_than_aws_takes_are_refused(cloud, ask, passages):
    with pytest.raises(UserError, match=r"AWS requires at least 100 records in a job, but there are 16 requests"):
        ask(stage(), passages(16))
    assert not cloud.asked
    assert list(stage(limit=50).faults()) == [
        "batch: AWS requires at least 100 records in a job; raise 'limit', or remove 'limit' or 'batch'"
    ]


def test_a_job_that_fails_says_why_and_is_submitted_anew_next_time(cloud, batches, ask, passages):
    batches.error = "the role cannot read the bucket"
    with pytest.raises(StageError, match=r"job arn:aws:.*000000000001 failed: the role cannot read the bucket"):
        ask(stage(), passages(110), state="state")
    batches.error = ""
    assert ask(stage(), passages(110), state="state").notes["questions"] == 220
    assert len(batches.jobs) == 2


def test_a_batch_must_fit_the_budget_whole(cloud, ask, passages):
    with pytest.raises(
        StageError, match=r"budget: 0.05 USD are allowed, 0 USD are spent, the next call may take 0.\d+ USD"
    ):
        ask(stage(budget=0.05), passages(120))
    assert not cloud.asked


@pytest.mark.parametrize("wrong", [{"s3_uri": "bucket/folder"}, {"role_arn": "batch"}])
def test_a_wrong_place_or_role_is_refused(wrong):
    with pytest.raises(ValueError, match=r"should match pattern"):
        Bedrock(batch={"s3_uri": "s3://bucket", "role_arn": ROLE, **wrong})
