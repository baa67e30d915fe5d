"""Running as a SageMaker training job."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from embedrun.job import Job
from embedrun_plugins.stages.runtimes.sagemaker_job.options import JobOptions


class SageMakerRuntime(JobOptions):
    """A SageMaker training job, on one machine or several, with its logs here and its results in the store here.

    The recipe, its data and what the store has of its results go to S3; what the job makes comes back, and the next
    run finds it. Everything but deploying happens in the job. Whoever starts the same work again finds the job that is
    under way, or goes on from the checkpoints of the one that ended. No environment variable is passed on but those
    that `env` names. What costs money is in the ledger: `embedrun resources`.
    """

    type: Literal["sagemaker"] = "sagemaker"
    packages: ClassVar[Mapping[str, str]] = {"boto3": "sagemaker"}

    def run(self, job: Job) -> int:
        from embedrun_plugins.stages.runtimes.sagemaker_job.run import execute

        return execute(self, job)
