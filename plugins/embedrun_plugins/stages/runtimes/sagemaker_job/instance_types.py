"""The machines of a job: how many GPUs they have, and how many training processes share them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.services.sagemaker.image_uris import has_gpu

_SEVERAL: Mapping[str, int] = {
    "g4dn.12xlarge": 4,
    **{f"{family}.{size}": 4 for family in ("g5", "g6", "g6e") for size in ("12xlarge", "24xlarge")},
    **{f"{family}.48xlarge": 8 for family in ("g5", "g6", "g6e", "g7e")},
    "g7e.12xlarge": 2,
    "g7e.24xlarge": 4,
    "p2.8xlarge": 8,
    "p2.16xlarge": 16,
    "p3.8xlarge": 4,
    "p3.16xlarge": 8,
    "p3dn.24xlarge": 8,
    **{f"{family}.24xlarge": 8 for family in ("p4d", "p4de")},
    **{f"{family}.48xlarge": 8 for family in ("p5", "p5e", "p5en", "p6-b200", "p6-b300")},
}
"""Machines with more than one GPU, by AWS's pages on EC2's instance types."""
_ONE = re.compile(r"[a-z0-9-]+\.[248]?xlarge|(g4dn|g5|g6|g6e)\.16xlarge")
_OWN_DISKS = re.compile(r"ml\.(g4dn|g[5-9]\w*|p3dn|p[4-9][\w-]*|trn\w+|[cmr]\d+\w*d)\.")


def has_own_disks(instance_type: str) -> bool:
    """Say whether a machine's volume is a disk of its own, which SageMaker takes no key for."""
    return bool(_OWN_DISKS.match(instance_type))


def gpus(instance_type: str) -> int | None:
    """Return how many GPUs a machine has; None where that is not known."""
    if not has_gpu(instance_type):
        return 0
    size = instance_type.removeprefix("ml.")
    return _SEVERAL.get(size) or (1 if _ONE.fullmatch(size) else None)


def require(trainer: Any, instance_type: str, instances: int) -> str | None:
    """Return what is doubtful about the number of training processes for these machines, if anything is.

    Raises UserError where the trainer cannot use them.
    """
    fields = type(trainer).model_fields if trainer else {}
    if instances > 1 and "processes" not in fields:
        what = f"the trainer '{trainer.type}' trains" if trainer else "without a trainer, a recipe runs"
        raise UserError(f"runtime.instances: {what} on one machine only, and {instances} are asked for")
    processes = getattr(trainer, "processes", None) or 1
    each = gpus(instance_type)
    there = instances * (each or 1)
    advice = f"set trainer.processes to {there}" + (f", one for each of {each} GPUs on each" if each else "")
    if processes % instances:
        raise UserError(
            f"runtime.instances: {instances} machines cannot share {processes} training processes; {advice}"
        )
    if each and processes > there:
        raise UserError(f"runtime.instances: {processes} training processes cannot share {there} GPUs; {advice}")
    if trainer and each and processes < there:
        return f"{processes} of {there} GPUs will train; {advice}"
    return None
