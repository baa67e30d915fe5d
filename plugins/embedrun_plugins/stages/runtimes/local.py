"""Running in this process."""

from __future__ import annotations

from typing import Literal

from embedrun import Runtime
from embedrun.job import Job


class LocalRuntime(Runtime):
    """This process, on this machine."""

    type: Literal["local"] = "local"

    def run(self, job: Job) -> int:
        return job.here()
