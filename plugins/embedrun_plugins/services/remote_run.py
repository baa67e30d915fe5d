"""What every runtime needs that carries a run out elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedrun.stages import Deployer, Runtime, Stage

if TYPE_CHECKING:
    from embedrun.job import Job

AGAIN = "run the same command again to continue from the last stage or checkpoint"


def stages(job: Job) -> Iterator[Stage]:
    """Yield the recipe's stages that run elsewhere."""
    for _, stage in job.plan.recipe.stages():
        if not isinstance(stage, (Deployer, Runtime)):
            yield stage


def extras(job: Job) -> set[str]:
    """Return the extras of embedrun that those stages need."""
    return {extra for stage in stages(job) for extra in stage.needs().values()}


def run_id(job: Job) -> str:
    """Return what tells the run from every other: NAME/TIME."""
    return f"{job.run_folder.parent.name}/{job.run_folder.name}"
