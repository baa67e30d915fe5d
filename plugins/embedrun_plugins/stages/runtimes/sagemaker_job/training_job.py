"""One SageMaker training job: asked for, watched, stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedrun.errors import StageError
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.resources import JOB_ENDING, await_change, describe_job, pauses
from embedrun_plugins.services.sagemaker.container.contract import PREFIX
from embedrun_plugins.services.sagemaker.container.metrics import METRICS
from embedrun_plugins.stages.runtimes.sagemaker_job.instance_types import has_own_disks
from embedrun_plugins.stages.runtimes.sagemaker_job.logs import Logs

if TYPE_CHECKING:
    from embedrun_plugins.stages.runtimes.sagemaker_job.options import JobOptions

_HOUR = 3600
_EXISTS = ("ResourceInUse:already exist",)
PATIENCE = 1800.0
"""Seconds for which a job that cannot be asked is believed to go on."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class TrainingJob:
    """A job by its name."""

    clients: Clients
    name: str

    def create(self, request: Mapping[str, Any]) -> None:
        """Ask for it. That it is there already is the answer to a request sent twice."""
        self.clients.find("sagemaker", "create_training_job", _EXISTS, TrainingJobName=self.name, **request)

    def describe(self) -> dict[str, Any] | None:
        """Return what SageMaker says of it; None where it knows none."""
        return describe_job(self.clients, self.name)

    def stop(self) -> None:
        """Have it stopped: its container gets SIGTERM, and 120 seconds for a checkpoint."""
        self.clients.find("sagemaker", "stop_training_job", JOB_ENDING, TrainingJobName=self.name)

    def watch(self, seconds: float, say: Say) -> tuple[dict[str, Any] | None, Logs]:
        """Wait until it has ended, and say what happens and what it prints; return what SageMaker says of it then.

        That is None where it is gone. Raises StageError where it takes longer than `seconds`, UserError where it may
        not be asked any more.
        """
        logs, shown = Logs(self.clients, self.name), 0

        def look() -> dict[str, Any] | None:
            nonlocal shown
            job = self._patiently(say)
            changes = (job or {}).get("SecondaryStatusTransitions") or []
            for change in changes[shown:]:
                say(f"{self.name}: {change['Status']}: {change.get('StatusMessage') or ''}".rstrip(": "))
            shown = len(changes)
            for line in logs.new() if job else ():
                say(line)
            return job

        job = await_change(
            look, "TrainingJobStatus", ("InProgress", "Stopping"), what=f"training job {self.name}", seconds=seconds
        )
        if job and logs.trouble:
            say(f"warning: {self.name}: {logs.trouble}")
        return job, logs

    def _patiently(self, say: Say) -> dict[str, Any] | None:
        """Ask how it is, and bear a network that is gone for a while, as that of a laptop that sleeps."""
        from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay

        def warn(call: RetryCallState) -> None:
            if call.attempt_number == 1 and call.outcome:
                error = call.outcome.exception()
                say(f"warning: {self.name}: its status cannot be read now; it continues meanwhile: {error}")

        return Retrying(
            retry=retry_if_exception(_may_pass),
            stop=stop_after_delay(PATIENCE),
            wait=pauses(),
            before_sleep=warn,
            reraise=True,
        )(self.describe)


def _may_pass(error: BaseException) -> bool:
    from botocore.exceptions import EndpointConnectionError, ProxyConnectionError

    return isinstance(error, StageError) or isinstance(error.__cause__, (EndpointConnectionError, ProxyConnectionError))


def request(
    stage: JobOptions,
    *,
    base: str,
    image: str,
    role: str,
    channels: Iterable[str],
    hyperparameters: Mapping[str, str],
    tags: list[dict[str, str]],
) -> dict[str, Any]:
    """Return what CreateTrainingJob is asked for, all of it below one folder of S3."""
    key = {"KmsKeyId": stage.kms_key} if stage.kms_key else {}
    disk = {"VolumeKmsKeyId": stage.kms_key} if stage.kms_key and not has_own_disks(stage.instance_type) else {}
    vpc = {"Subnets": list(stage.vpc.subnets), "SecurityGroupIds": list(stage.vpc.security_groups)} if stage.vpc else {}
    return {
        "AlgorithmSpecification": {
            "TrainingImage": image,
            "TrainingInputMode": "File",
            "MetricDefinitions": list(METRICS),
        },
        "RoleArn": role,
        "HyperParameters": dict(hyperparameters),
        "Environment": {name: os.environ[name] for name in stage.env},
        "InputDataConfig": [_channel(name, f"{base}/{name}/") for name in channels],
        "OutputDataConfig": {"S3OutputPath": f"{base}/output", **key},
        "CheckpointConfig": {"S3Uri": f"{base}/checkpoints", "LocalPath": f"{PREFIX}/checkpoints"},
        "ResourceConfig": {
            "InstanceType": stage.instance_type,
            "InstanceCount": stage.instances,
            "VolumeSizeInGB": stage.volume_gb,
            **disk,
        },
        "StoppingCondition": _limits(stage),
        "EnableManagedSpotTraining": stage.spot,
        "EnableInterContainerTrafficEncryption": stage.encrypt_traffic,
        "Tags": tags,
        **({"VpcConfig": vpc} if vpc else {}),
    }


def _channel(name: str, uri: str) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, "S3DataDistributionType": "FullyReplicated"}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _limits(stage: JobOptions) -> dict[str, int]:
    seconds = {"MaxRuntimeInSeconds": int(stage.max_hours * _HOUR)}
    if stage.spot:
        seconds["MaxWaitTimeInSeconds"] = int(stage.longest_hours() * _HOUR)
    return seconds
