"""What a recipe says about its SageMaker training job."""

from __future__ import annotations

import os
from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from embedrun import Runtime
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.stages.aws_stage import INSTANCE, Account

_LONGEST_HOURS = 720.0
"""What SageMaker lets a job take at the most."""


class Vpc(BaseModel):
    """The private network that a job's machines join."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    subnets: tuple[str, ...] = Field(min_length=1, max_length=16)
    """Subnets, by their ids."""
    security_groups: tuple[str, ...] = Field(min_length=1, max_length=5)
    """Security groups, by their ids; machines of one job must reach each other."""


class JobOptions(Account, Runtime):
    """A training job: its machines, its limits, its image and its network."""

    instance_type: str = Field("ml.g5.xlarge", pattern=INSTANCE)
    """What it runs on, a CPU or a GPU."""
    instances: int = Field(1, ge=1, le=64)
    """How many of them train together; trainer.processes must be a multiple of it, one for each GPU."""
    volume_gb: int = Field(100, ge=1)
    """Disk of each machine, for the data, the models and the checkpoints; machines with disks of their own, as most
    with GPUs, use these."""
    max_hours: float = Field(24.0, ge=0.1, le=672)
    """Hours after which the job is stopped, with a checkpoint."""
    spot: bool = False
    """Run on spare capacity: cheaper, and interrupted at any time; it goes on from the last checkpoint."""
    max_wait_hours: float | None = Field(None, gt=0, le=_LONGEST_HOURS)
    """Hours that a spot job may take together with waiting for capacity; by default twice max_hours."""
    image: str | None = Field(None, min_length=1)
    """Image in ECR to run, NAME@sha256:… to pin it; by default embedrun's own, built on this machine's container engine
    and pushed to `repository` unless it is there."""
    repository: str = Field("embedrun", pattern=r"^[a-z0-9]+([._/-][a-z0-9]+)*$")
    """Repository in ECR for embedrun's own image, made if it is not there."""
    base_image: str | None = Field(None, min_length=1)
    """What an image that is built here starts from; by default $EMBEDRUN_BASE_IMAGE, else a CUDA base."""
    env: tuple[VariableName, ...] = ()
    """Environment variables to pass on, by name. Whoever may describe the job can read them."""
    vpc: Vpc | None = None
    """Private network for the machines, as {subnets, security_groups}; by default SageMaker's own."""
    kms_key: str | None = Field(None, pattern=r"^[a-zA-Z0-9:/_-]+$")
    """Key that encrypts the results, and the disks of machines that take one; for the rest of what is in S3 the
    bucket's own encryption counts."""
    encrypt_traffic: bool = False
    """Encrypt what several machines send each other, which slows them down."""
    tags: dict[str, str] = Field(default_factory=dict)
    """Tags of the job, beside the run's own."""
    keep: bool = False
    """Whether the job's results stay in S3, too, once they are here; by default they are removed."""
    max_age_hours: float | None = Field(72.0, gt=0)
    """Hours after which `embedrun delete --expired` stops the job and removes what it left; null for never."""

    def faults(self) -> Iterable[str]:
        if self.max_wait_hours and not self.spot:
            yield "max_wait_hours: has an effect only with spot: true"
        if self.max_wait_hours and self.max_wait_hours < self.max_hours:
            yield f"max_wait_hours: {self.max_wait_hours:g} is less than max_hours: {self.max_hours:g}"
        if self.max_age_hours and self.max_age_hours < self.longest_hours():
            yield (
                f"max_age_hours: {self.max_age_hours:g} is less than the {self.longest_hours():g} hours that the job "
                "may take; give more, or lower max_hours"
            )
        for name in self.env:
            if name not in os.environ:
                yield f"env: the environment variable {name} is not set"

    def longest_hours(self) -> float:
        """Return how long the job may take, with waiting for spot machines."""
        if not self.spot:
            return self.max_hours
        return self.max_wait_hours or min(2 * self.max_hours, _LONGEST_HOURS)
