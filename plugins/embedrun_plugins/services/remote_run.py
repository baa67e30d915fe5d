"""What every runtime needs that carries a run out elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedrun.job import Job

AGAIN = "run the same command again to continue from the last stage or checkpoint"


def extras(job: Job) -> set[str]:
    """Return the extras of embedrun that the stages need that run elsewhere."""
    return {extra for stage in job.stages for extra in stage.needs().values()}
