"""A loopback stand-in for Bedrock's batch jobs, and for as much of S3 as they need."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

from fake_llm import FakeModel, message
from fake_services import Reply, Route, reply


@dataclass
class Batches:
    """The buckets and the jobs."""

    model: FakeModel
    looks: int = 1
    """How often a job is looked at before it is done."""
    error: str = ""
    """Why every job fails, if it does."""
    files: dict[str, str] = field(default_factory=dict)
    """What was put into S3, by bucket/key."""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Jobs by their token."""


def routes(store: Batches) -> list[tuple[str, Route]]:
    """Return the routes of batch jobs and of S3, to serve beside those of fake_llm."""

    def put(match: re.Match[str], body: dict[str, Any]) -> Reply:
        store.files[match["file"]] = body["raw"]
        return 200, {"etag": '"e"'}, b""

    def listed(match: re.Match[str], body: dict[str, Any]) -> Reply:
        prefix = re.search(r"[?&]prefix=([^&]*)", match.string)
        start = f"{match['bucket']}/{prefix[1] if prefix else ''}"
        keys = [name.split("/", 1)[1] for name in sorted(store.files) if name.startswith(start)]
        items = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
        page = f"<IsTruncated>false</IsTruncated><KeyCount>{len(keys)}</KeyCount>{items}"
        text = f'<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{page}</ListBucketResult>'
        return 200, {"content-type": "application/xml"}, text.encode()

    def got(match: re.Match[str], body: dict[str, Any]) -> Reply:
        if "raw" in body:
            return put(match, body)
        return 200, {"content-type": "binary/octet-stream"}, store.files[match["file"]].encode()

    def create(match: re.Match[str], body: dict[str, Any]) -> Reply:
        with store.model.lock:
            number = f"{len(store.jobs) + 1:012d}"
            arn = f"arn:aws:bedrock:us-east-1:123456789012:model-invocation-job/{number}"
            job = store.jobs.setdefault(body["clientRequestToken"], {**body, "jobArn": arn, "looks": 0})
        return reply({"jobArn": job["jobArn"]})

    def look(match: re.Match[str], body: dict[str, Any]) -> Reply:
        job = next(job for job in store.jobs.values() if job["jobArn"] == match["arn"])
        job["looks"] += 1
        return reply(_job_state(store, job))

    return [
        (r"/model-invocation-job", create),
        (r"/model-invocation-job/(?P<arn>arn:[^?]*)", look),
        (r"/(?P<bucket>[\w.-]+)/?\?(?=.*list-type=2).*", listed),
        (r"/(?P<file>[\w.-]+/[^?]+\.(?:jsonl|out))(?:\?.*)?", got),
    ]


def _job_state(store: Batches, job: dict[str, Any]) -> dict[str, Any]:
    """Run a job once it was looked at often enough, and return what is told of it."""
    given = job["inputDataConfig"]["s3InputDataConfig"]["s3Uri"].removeprefix("s3://")
    records = [json.loads(line) for line in store.files[given].splitlines()]
    done = job["looks"] >= store.looks
    status = "InProgress" if not done else "Failed" if store.error else "Completed"
    if status == "Completed":
        folder = job["outputDataConfig"]["s3OutputDataConfig"]["s3Uri"].removeprefix("s3://").rstrip("/")
        lines = [json.dumps(_answer(store.model, record)) for record in records]
        name = f"{folder}/{job['jobArn'].rsplit('/', 1)[-1]}"
        store.files[f"{name}/records.jsonl.out"] = "\n".join(reversed(lines)) + "\n"
        store.files[f"{name}/manifest.json.out"] = json.dumps({"totalRecordCount": len(records)})
    told = {key: job[key] for key in ("jobArn", "modelId", "roleArn", "inputDataConfig", "outputDataConfig")}
    return {
        **told,
        "status": status,
        "message": store.error,
        "submitTime": "2026-01-01T00:00:00Z",
        "totalRecordCount": len(records),
        "processedRecordCount": len(records) if done else 0,
    }


def _answer(model: FakeModel, record: dict[str, Any]) -> dict[str, Any]:
    prompt = record["modelInput"]["messages"][0]["content"][0]["text"]
    trouble = model.trouble(prompt)
    if trouble == "content_filter":
        return {**record, "error": {"errorCode": 400, "errorMessage": "blocked by content filter"}}
    if trouble in ("throttle", "break_off", "always_fails"):
        return {**record, "error": {"errorCode": 500, "errorMessage": "internal error"}}
    return {**record, "modelOutput": message(model.text(prompt, trouble, as_json=False), "end_turn", prompt)}
