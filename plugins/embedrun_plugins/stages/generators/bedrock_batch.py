"""Batch inference of Amazon Bedrock: many requests in one job, at half the price, answered within a day."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from embedrun.errors import StageError, UserError
from embedrun.hashing import value_digest
from embedrun_plugins.services import aws
from embedrun_plugins.services.language_models.bedrock_converse import body_of, concerns_passage, reply_of
from embedrun_plugins.services.language_models.llm_service import Reply, Request
from embedrun_plugins.services.language_models.request_runner import RequestRunner

PRICE_SHARE = 0.5
"""Of the price on demand that AWS charges."""
FEWEST = 100
MOST = 50_000
"""Records that AWS takes in one job."""
_MOST_BYTES = 10**9
"""Size that AWS takes as one file of records."""
_AROUND = 1_000
"""Bytes of a record beside its prompts, at most."""
_ENDED = ("Completed", "PartiallyCompleted", "Failed", "Stopped", "Expired")


class Batch(BaseModel):
    """How to ask in batch jobs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    s3_uri: str = Field(pattern=r"^s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-zA-Z0-9/]*)?$")
    """Folder in S3 that requests are written to and answers read from, as in s3://bucket/folder. What is written there
    stays. The bucket must be in the region of the model."""
    role_arn: str = Field(pattern=r"^arn:aws(-[^:]+)?:iam::\d{12}:role/.+$")
    """Role that lets Bedrock read and write that folder."""
    timeout_hours: int = Field(24, ge=24, le=168)
    """Hours after which AWS gives a job up."""
    poll_seconds: float = Field(30, gt=0)
    """Seconds between two looks at a job."""


@dataclass(frozen=True)
class _BatchJob:
    """A job: its ARN, its folder's name in S3, and the ids of its records."""

    arn: str
    folder: str
    records: list[str]
    ended: bool = False

    @property
    def id(self) -> str:
        return self.arn.rsplit("/", 1)[-1]


@dataclass
class Batches:
    """Answers requests in jobs. A job that was submitted before a kill is found again, not submitted twice."""

    batch: Batch
    runner: RequestRunner
    region: str | None
    profile: str | None

    def answer(self, missing: Sequence[Request]) -> None:
        """Submit, wait and keep the answers; what few are left without one can be asked one by one.

        Raises UserError where there are fewer requests than AWS takes in a job; StageError where a job fails, or
        leaves too many unanswered to ask them one by one at full price.
        """
        unanswered = {value_digest(request): request for request in missing}
        jobs = [job for job in self._remembered() if not job.ended]
        submitted = {record for job in jobs for record in job.records}
        fresh = {key: request for key, request in unanswered.items() if key not in submitted}
        if len(fresh) >= FEWEST:
            self.runner.budget.require(list(unanswered.values()), PRICE_SHARE)
            jobs += [self._submit(part) for part in _parts(fresh)]
        elif not (jobs or self.runner.sent or self.runner.reused):
            raise UserError(
                f"batch: AWS requires at least {FEWEST} records in a job, but there are {len(fresh)} requests; "
                "leave 'batch' out to send them one by one"
            )
        for job in jobs:
            self._collect(job, unanswered)
        if len(unanswered) >= FEWEST:
            raise StageError(
                f"batch: {len(unanswered):,} of {len(missing):,} records were not answered; run again to submit these, "
                "or without 'batch' to send them one by one; answers so far are kept"
            )

    def _submit(self, part: Mapping[str, Request]) -> _BatchJob:
        """Write the records to S3 and start a job; the same records give the same job, should a kill come between."""
        ended = sum(job.ended for job in self._remembered())
        digest = value_digest([*part, ended])[:32]
        model = next(iter(part.values()))["model"]
        folder = f"{self._prefix}{digest}"
        records = ({"recordId": key, "modelInput": body_of(request)} for key, request in part.items())
        lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        with aws.explained("s3"):
            self._s3.put_object(Bucket=self._bucket, Key=f"{folder}/records.jsonl", Body=lines.encode())
        uri = f"s3://{self._bucket}/{folder}"
        with aws.explained("bedrock batch", model=model):
            submitted = self._bedrock.create_model_invocation_job(
                jobName=f"embedrun-{digest}",
                clientRequestToken=digest,
                roleArn=self.batch.role_arn,
                modelId=model,
                modelInvocationType="Converse",
                inputDataConfig={"s3InputDataConfig": {"s3Uri": f"{uri}/records.jsonl", "s3InputFormat": "JSONL"}},
                outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{uri}/answers/"}},
                timeoutDurationInHours=self.batch.timeout_hours,
            )
        job = _BatchJob(submitted["jobArn"], folder, list(part))
        self._remember(job)
        return job

    def _collect(self, job: _BatchJob, unanswered: dict[str, Request]) -> None:
        """Wait for a job's end and keep what it answered, taking that out of `unanswered`."""
        ended = self._wait(job)
        records = ((str(record.get("recordId")), record) for record in self._answers(job))
        replies = ((key, _reply(record, unanswered[key])) for key, record in records if key in unanswered)
        answered = {key: reply for key, reply in replies if reply}
        self.runner.keep([(unanswered.pop(key), reply) for key, reply in answered.items()])
        self._remember(replace(job, ended=True))
        if ended["status"] == "Failed":
            raise StageError(
                f"batch: job {job.arn} failed: {ended.get('message') or 'AWS does not say why'}; what it answered is "
                "kept"
            )

    def _wait(self, job: _BatchJob) -> Mapping[str, Any]:
        while True:
            with aws.explained("bedrock batch"):
                state: Mapping[str, Any] = self._bedrock.get_model_invocation_job(jobIdentifier=job.arn)
            done, total = state.get("processedRecordCount") or 0, state.get("totalRecordCount") or len(job.records)
            self.runner.ctx.progress(f"batch job {job.id} ({state['status']})", done, total)
            if state["status"] in _ENDED:
                return state
            time.sleep(self.batch.poll_seconds)

    def _answers(self, job: _BatchJob) -> Iterator[Mapping[str, Any]]:
        """Yield the records that a job wrote; none where it wrote nothing."""
        with aws.explained("s3"):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=f"{job.folder}/answers/{job.id}/"
            )
            keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
            for key in sorted(key for key in keys if key.endswith(".jsonl.out")):
                body = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"]
                yield from (json.loads(line) for line in body.iter_lines() if line.strip())

    @cached_property
    def _s3(self) -> Any:
        return aws.client("s3", region=self.region, profile=self.profile)

    @cached_property
    def _bedrock(self) -> Any:
        return aws.client("bedrock", region=self.region, profile=self.profile)

    @property
    def _bucket(self) -> str:
        return self.batch.s3_uri.removeprefix("s3://").split("/", 1)[0]

    @property
    def _prefix(self) -> str:
        folder = self.batch.s3_uri.removeprefix(f"s3://{self._bucket}").strip("/")
        return f"{folder}/" if folder else ""

    @property
    def _file(self) -> Path:
        return self.runner.ctx.state / "batches.json"

    def _remembered(self) -> list[_BatchJob]:
        return [_BatchJob(**job) for job in json.loads(self._file.read_text("utf-8"))] if self._file.exists() else []

    def _remember(self, job: _BatchJob) -> None:
        """Write a job down in one step, replacing what was known of it."""
        others = [earlier for earlier in self._remembered() if earlier.arn != job.arn]
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(earlier) for earlier in (*others, job)]), "utf-8")
        scratch.replace(self._file)


def _parts(requests: Mapping[str, Request]) -> Iterator[dict[str, Request]]:
    """Yield the requests in as few jobs of equal size as AWS takes."""
    size = sum(
        len(request["prompt"].encode()) + len(request["system"].encode()) + _AROUND for request in requests.values()
    )
    parts = max(-(-len(requests) // MOST), -(-size // _MOST_BYTES))
    items = list(requests.items())
    for part in range(parts):
        yield dict(items[part * len(items) // parts : (part + 1) * len(items) // parts])


def _reply(record: Mapping[str, Any], request: Request) -> Reply | None:
    """Read a record of answers; None where it failed in a way that asking again may mend."""
    if error := record.get("error"):
        message = str(error.get("errorMessage") or "")
        return Reply(message, "declined", share=PRICE_SHARE) if concerns_passage(message) else None
    try:
        return replace(reply_of(record.get("modelOutput") or {}, request), share=PRICE_SHARE)
    except StageError:
        return None
