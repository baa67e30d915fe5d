"""The processor cores that this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, MutableMapping
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_THREADS = "OMP_NUM_THREADS"
_FITTED = "EMBEDRUN_THREADS"
"""Set to the number of threads where it was not the user who chose it."""


def usable_cores() -> int:
    """Count the cores that this process may use: by its affinity, and by the CPU quota of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas())]))


def fit_threads() -> None:
    """Have torch and its libraries start no more threads than there are cores to use, unless the user chose a number.

    Threads beyond a quota wait for each other's turns: a matrix multiplication then takes many times as long.
    """
    cores = usable_cores()
    if _THREADS in os.environ or cores >= (os.cpu_count() or 1):
        return
    os.environ |= {_THREADS: str(cores), _FITTED: str(cores)}
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(cores)


def shared_threads(environment: MutableMapping[str, str], processes: int) -> None:
    """Share the cores among processes that will have this environment, unless the user chose a number of threads."""
    if _THREADS not in environment or environment.get(_FITTED) == environment[_THREADS]:
        environment[_THREADS] = str(max(1, usable_cores() // processes))


def _quotas() -> Iterator[float]:
    """Yield the cores that each control group of this process, and each group around it, allows."""
    try:
        groups = [line.split(":", 2) for line in _OWN_GROUPS.read_text("utf-8").splitlines()]
    except OSError:
        return
    for _, controllers, path in groups:
        if not controllers:
            folder = _GROUPS / path.strip("/")
            for parent in (folder, *folder.parents):
                if parent.is_relative_to(_GROUPS):
                    yield from _share(parent / "cpu.max")
        elif "cpu" in controllers.split(","):
            yield from _share(*(_GROUPS / "cpu" / name for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")))


def _share(*files: Path) -> Iterator[float]:
    try:
        quota, period = " ".join(file.read_text("ascii") for file in files).split()
        if quota not in ("max", "-1"):
            yield int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return
