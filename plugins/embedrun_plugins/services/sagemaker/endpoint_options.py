"""Parts of a recipe that say how an endpoint runs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from embedrun_plugins.services.credentials import SECRET


class _Options(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())


class AutoScaling(_Options):
    """How many instances there are, by how much each is asked; as in AWS's example for embedding models."""

    min_instances: int = Field(1, ge=1)
    """Instances at the least."""
    max_instances: int = Field(4, ge=1)
    """Instances at the most; what the endpoint can cost at the most."""
    invocations_per_instance: float = Field(1000.0, gt=0)
    """Requests a minute that each instance should get; more instances come above it, and go below it. Measure what an
    instance can answer (`embedrun bench`) and take about half of it."""
    scale_in_cooldown: int = Field(300, ge=0)
    """Seconds after instances went until more may go."""
    scale_out_cooldown: int = Field(60, ge=0)
    """Seconds after instances came until more may come."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.min_instances > self.max_instances:
            raise ValueError(f"min_instances {self.min_instances} is more than max_instances {self.max_instances}")
        return self


class Serverless(_Options):
    """Nothing runs and nothing is paid while nobody asks; the first request after a pause waits for the container."""

    memory_mb: int = Field(4096, ge=1024, le=6144, multiple_of=1024)
    """Memory, in steps of 1024 MB; the share of CPU grows with it."""
    max_concurrency: int = Field(5, ge=1, le=200)
    """Requests answered at once."""


class Asynchronous(_Options):
    """Requests wait in a queue and their answers are put into S3, for large batches without a client that waits."""

    max_concurrent: int = Field(4, ge=1, le=1000)
    """Requests that each instance works on at once."""


def _no_secrets(values: dict[str, str]) -> dict[str, str]:
    for name, value in values.items():
        if SECRET.search(value):
            raise ValueError(f"'{name}' holds a token or key, which everyone who may look at the endpoint could read")
    return values


Environment = Annotated[dict[str, str], AfterValidator(_no_secrets)]
"""Variables of a container; an error about one never repeats what it holds."""
