"""SageMaker's training jobs on this machine: channels from S3, our own container's command, results back to S3.

What a job's machines run is `embedrun sagemaker-train` with a folder in the place of /opt/ml. As in SageMaker, the
folder with checkpoints is copied from S3 before and to S3 after, a stop is SIGTERM and then time, and a spot machine
that is taken away is followed by another that goes on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ports
from sagemaker_simulator import ACCOUNT, REGION, Answer

GROUP = "/aws/sagemaker/TrainingJobs"
HOSTS = ("127.0.0.1", "127.0.0.2")
"""Names by which machines of a job find each other, since all of them are this one."""
OURS = (sys.executable, "-m", "embedrun", "sagemaker-train")
"""What our own container runs."""
LONGEST = 10.0
"""Seconds that a question waits for a job's end, where it is told of the end at all."""
_FAILURE = 1024


@dataclass
class Trained:
    """One job."""

    described: dict[str, Any]
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    work: Future[None] | None = None
    interruptions: int = 0
    """How often a spot machine is still to be taken away."""
    questions: int = 0
    """How often the job was asked for."""

    @property
    def name(self) -> str:
        return str(self.described["TrainingJobName"])

    def change(self, secondary: str, status: str = "InProgress", message: str = "", **more: Any) -> None:
        moment = {"Status": secondary, "StartTime": time.time(), "StatusMessage": message}
        transitions = [*self.described.get("SecondaryStatusTransitions", ()), moment]
        self.described |= {"SecondaryStatusTransitions": transitions, "SecondaryStatus": secondary, **more}
        self.described["TrainingJobStatus"] = status


@dataclass
class Trainings:
    """The training jobs of an account."""

    s3: Any
    logs: Any
    jobs: dict[str, Trained] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    """Other variables of every machine."""
    command: Sequence[str] = OURS
    """What every machine runs, with $SM_PREFIX for /opt/ml."""
    questions: int | None = None
    """How often DescribeTrainingJob tells that a job runs before it waits for its end: then it is always as often."""
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4))
    lock: threading.Lock = field(default_factory=threading.Lock)

    def operations(self, given: dict[str, Any]) -> dict[str, Any]:
        name = given.get("TrainingJobName", "")
        return {
            "CreateTrainingJob": lambda: self._create(name, given),
            "DescribeTrainingJob": lambda: self._describe(name),
            "StopTrainingJob": lambda: self._stop(name),
        }

    def left(self) -> list[str]:
        """Name the jobs that cost something."""
        return sorted(
            n for n, job in self.jobs.items() if job.described["TrainingJobStatus"] in ("InProgress", "Stopping")
        )

    def stop(self) -> None:
        for job in self.jobs.values():
            for process in job.processes:
                process.kill()
        self.pool.shutdown()

    def _create(self, name: str, given: dict[str, Any]) -> Answer:
        with self.lock:
            if name in self.jobs:
                return _refused("ResourceInUse", "Training job names must be unique. The job already exists.")
            job = Trained({**given, "TrainingJobArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/{name}"})
            job.change("Starting")
            self.jobs[name] = job
            job.work = self.pool.submit(self._run, job)
        return 200, {"TrainingJobArn": job.described["TrainingJobArn"]}

    def _describe(self, name: str) -> Answer:
        if name not in self.jobs:
            return _refused("ValidationException", "Requested resource not found.")
        job = self.jobs[name]
        if self.questions is None:
            return 200, dict(job.described)
        job.questions += 1
        if job.questions > self.questions and job.work:
            wait([job.work], LONGEST)
            return 200, dict(job.described)
        return 200, {**job.described, "TrainingJobStatus": "InProgress", "SecondaryStatusTransitions": []}

    def _stop(self, name: str) -> Answer:
        job = self.jobs.get(name)
        if job is None:
            return _refused("ValidationException", "Requested resource not found.")
        status = job.described["TrainingJobStatus"]
        if status != "InProgress":
            return _refused(
                "ValidationException", f"The request was rejected because the training job is in status {status}."
            )
        job.change("Stopping", "Stopping")
        _end(job)
        return 200, {}

    def interrupt(self, name: str) -> None:
        """Take a spot machine away."""
        self.jobs[name].interruptions += 1
        _end(self.jobs[name])

    def _run(self, job: Trained) -> None:
        try:
            while True:
                with tempfile.TemporaryDirectory(prefix="sagemaker-training-", ignore_cleanup_errors=True) as folder:
                    codes = self._machines(job, Path(folder))
                    if not job.interruptions:
                        self._finish(job, codes, Path(folder))
                        return
                job.interruptions -= 1
                job.change("Interrupted", message="Training job interrupted by spot capacity")
        except Exception as error:  # noqa: BLE001  # whatever it is, the job failed
            job.change("Failed", "Failed", FailureReason=f"InternalServerError: {error!r}")

    def _machines(self, job: Trained, folder: Path) -> list[int]:
        """Run the containers of a job to their ends."""
        count = job.described["ResourceConfig"]["InstanceCount"]
        hosts = HOSTS[:count] if count > 1 else ("algo-1",)
        job.change("Downloading")
        for host in hosts:
            self._prepare(job, folder / host, host, hosts)
        job.change("Training", message="Training image download completed. Training in progress.")
        port = str(ports.free(2))
        job.processes = [self._start(job, folder / host, port) for host in hosts]
        if job.described["TrainingJobStatus"] == "Stopping":
            _end(job)
        shown = [
            threading.Thread(target=self._show, args=(job, h, p)) for h, p in zip(hosts, job.processes, strict=True)
        ]
        for thread in shown:
            thread.start()
        codes = [process.wait() for process in job.processes]
        for thread in shown:
            thread.join()
        self._put(folder / hosts[0] / "checkpoints", job.described["CheckpointConfig"]["S3Uri"])
        return codes

    def _prepare(self, job: Trained, prefix: Path, host: str, hosts: tuple[str, ...]) -> None:
        given = job.described
        channels = given["InputDataConfig"]
        configuration = {
            "resourceconfig": {"current_host": host, "hosts": list(hosts), "network_interface_name": "lo"},
            "hyperparameters": given.get("HyperParameters", {}),
            "inputdataconfig": {one["ChannelName"]: {"TrainingInputMode": "File"} for one in channels},
        }
        for name, value in configuration.items():
            file = prefix / "input/config" / f"{name}.json"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(value), "utf-8")
        for one in channels:
            self._get(one["DataSource"]["S3DataSource"]["S3Uri"], prefix / "input/data" / one["ChannelName"])
        self._get(given["CheckpointConfig"]["S3Uri"] + "/", prefix / "checkpoints")

    def _start(self, job: Trained, prefix: Path, port: str) -> subprocess.Popen[str]:
        own = {k: v.replace("/opt/ml", str(prefix)) for k, v in job.described.get("Environment", {}).items()}
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "EMBEDRUN_", "HF_TOKEN"))
        }
        return subprocess.Popen(
            [*self.command, "--port", port],
            env={**kept, **self.environment, **own, "SM_PREFIX": str(prefix)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _show(self, job: Trained, host: str, process: subprocess.Popen[str]) -> None:
        """Bring what a machine prints into its log."""
        stream = f"{job.name}/{host}-{time.time_ns()}"
        with self.lock:
            if not self.logs.describe_log_groups(logGroupNamePrefix=GROUP)["logGroups"]:
                self.logs.create_log_group(logGroupName=GROUP)
            self.logs.create_log_stream(logGroupName=GROUP, logStreamName=stream)
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                event = {"timestamp": int(time.time() * 1000), "message": line.rstrip() or " "}
                self.logs.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=[event])

    def _finish(self, job: Trained, codes: list[int], folder: Path) -> None:
        given, first = job.described, next(folder.iterdir())
        job.change("Uploading", given["TrainingJobStatus"])
        base = f"{given['OutputDataConfig']['S3OutputPath']}/{job.name}/output"
        for name, content in (("model", first / "model"), ("output", first / "output/data")):
            if any(content.rglob("*")):
                self._put_archive(content, f"{base}/{name}.tar.gz")
        billed = {"BillableTimeInSeconds": 60, "ModelArtifacts": {"S3ModelArtifacts": f"{base}/model.tar.gz"}}
        if given["TrainingJobStatus"] == "Stopping":
            job.change("Stopped", "Stopped", **billed)
        elif any(codes):
            failure = first / "output/failure"
            said = failure.read_text("utf-8")[:_FAILURE] if failure.exists() else ""
            code = next(filter(None, codes))
            job.change("Failed", "Failed", FailureReason=f"AlgorithmError: {said}, exit code: {code}", **billed)
        else:
            job.change("Completed", "Completed", **billed)

    def _put_archive(self, content: Path, uri: str) -> None:
        with tempfile.TemporaryFile() as file:
            with tarfile.open(fileobj=file, mode="w:gz", compresslevel=1) as packed:
                for inner in sorted(content.iterdir()):
                    packed.add(inner, inner.name)
            file.seek(0)
            self.s3.upload_fileobj(file, *_place(uri))

    def _put(self, folder: Path, uri: str) -> None:
        bucket, key = _place(uri)
        for file in folder.rglob("*"):
            if file.is_file():
                self.s3.upload_file(str(file), bucket, f"{key}/{file.relative_to(folder).as_posix()}")

    def _get(self, uri: str, folder: Path) -> None:
        bucket, key = _place(uri)
        folder.mkdir(parents=True, exist_ok=True)
        for name in self._names(bucket, key):
            file = folder / name.removeprefix(key)
            file.parent.mkdir(parents=True, exist_ok=True)
            self.s3.download_file(bucket, name, str(file))

    def _names(self, bucket: str, key: str) -> Iterator[str]:
        for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key):
            yield from (one["Key"] for one in page.get("Contents", ()))


def _end(job: Trained) -> None:
    for process in job.processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)


def _place(uri: str) -> tuple[str, str]:
    parts = urlsplit(uri)
    return parts.netloc, parts.path.lstrip("/")


def _refused(code: str, message: str) -> Answer:
    return 400, {"__type": code, "message": message}
