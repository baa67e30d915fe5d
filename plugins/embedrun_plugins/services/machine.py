"""This machine and what is installed on it, as a run's record says it."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from embedrun.installed import installed_version
from embedrun_plugins.models.cores import usable_cores

_PACKAGES = ("embedrun", "torch", "sentence-transformers", "transformers", "datasets", "accelerate", "numpy", "pluggy")


def describe() -> dict[str, Any]:
    """Describe what a result may depend on: versions, hardware and the state of the code."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "usable_cpus": usable_cores(),
        "packages": {name: version for name in _PACKAGES if (version := installed_version(name))},
        "git": _git_state(),
    }


def _git_state() -> dict[str, Any] | None:
    command = ["git", "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    try:
        status = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)  # noqa: S603  # no shell, fixed words
    except (OSError, subprocess.SubprocessError):
        return None
    lines = status.stdout.splitlines()
    commit = next((line.split()[-1] for line in lines if line.startswith("# branch.oid")), None)
    return {"commit": commit, "changed": any(not line.startswith("#") for line in lines)}


@contextlib.contextmanager
def peak_memory() -> Iterator[Callable[[], int | None]]:
    """Yield a function that says the peak resident memory since then, in bytes; None where the system does not tell."""
    # Linux forgets the peak so far when 5 is written here.
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", "ascii")

    def peak() -> int | None:
        with contextlib.suppress(OSError):
            if match := re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("ascii", "replace")):
                return int(match[1]) * 1024
        return None

    yield peak
