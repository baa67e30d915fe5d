"""What a run was made in, beyond what its recipe says: written down, and compared."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from embedrun.errors import UserError
from embedrun.installed import installed_version
from embedrun.record import RunRecord
from embedrun.store import Store

_PACKAGES = (
    *("tokenizers", "safetensors", "huggingface-hub", "pyarrow", "peft", "FlagEmbedding", "bm25s", "faiss-cpu"),
    *("pypdf", "pypdfium2", "python-docx", "beautifulsoup4", "lxml", "semantic-text-splitter"),
)
"""Packages that results of some stages depend on, beside those that core writes down."""
_ABSENT = "none"
_ID = len("sha256:") + 12


def write_down(run: RunRecord, system: Path = Path("/proc")) -> None:
    """Add processor, threads, GPUs and further packages to a run's record, unless they are there already.

    Where a run goes on here that was begun in a container, what is written of the container stands.
    """
    if not run.environment or "processor" in run.environment:
        return
    versions = {name: version for name in _PACKAGES if (version := installed_version(name))}
    packages = {**(run.environment.get("packages") or {}), **versions}
    machine = {
        "processor": _processor(system) or platform.processor() or None,
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "gpus": list(_gpus(system)),
        "driver": _driver(system),
    }
    run.change(environment={**run.environment, "packages": packages, **machine})


def _processor(system: Path) -> str | None:
    return next(_values(system / "cpuinfo", "model name"), None)


def _gpus(system: Path) -> Iterator[str]:
    """Name the machine's NVIDIA GPUs, as their driver tells without loading CUDA."""
    for file in sorted(system.glob("driver/nvidia/gpus/*/information")):
        yield from _values(file, "Model")


def _driver(system: Path) -> str | None:
    return next(_values(system / "driver/nvidia/version", "NVRM version"), None)


def _values(file: Path, key: str) -> Iterator[str]:
    """Yield what stands behind `key:` in a file; nothing where it cannot be read."""
    with contextlib.suppress(OSError, UnicodeError), file.open(encoding="utf-8") as stream:
        for line in stream:
            name, _, value = line.partition(":")
            if name.strip() == key:
                yield " ".join(value.split())


def differences(then: RunRecord, now: RunRecord) -> list[str]:
    """Say how the environments of two runs differ; what the older record does not know of is left out."""
    before, after = dict(_facts(then)), dict(_facts(now))
    known = {name.partition(":")[0] for name in before}
    return [
        f"{name.partition(':')[2] or name} {before.get(name, _ABSENT)} then, {after.get(name, _ABSENT)} now"
        for name in dict.fromkeys((*before, *after))
        if before.get(name, _ABSENT) != after.get(name, _ABSENT) and name.partition(":")[0] in known
    ]


def _facts(run: RunRecord) -> Iterator[tuple[str, str]]:
    """Yield each fact by its name; those of one group, such as packages, as `group:name`."""
    environment = run.environment
    for key, value in environment.items():
        if key == "git":
            yield "git commit", _commit(value)
        elif isinstance(value, Mapping):
            yield from ((f"{key}:{name}", str(told)) for name, told in value.items())
        elif isinstance(value, list):
            yield key, ", ".join(map(str, value)) or _ABSENT
        else:
            yield key, _ABSENT if value is None else str(value)
    yield "device", str(run.device or "as torch chooses")
    # Its name may be another though it is the same image.
    yield "image", str(run.image.get("id") or _ABSENT)[:_ID]


def _commit(git: Mapping[str, Any] | None) -> str:
    if not git:
        return _ABSENT
    return f"{str(git.get('commit'))[:12]}{' with changes' if git.get('changed') else ''}"


def maker(run: RunRecord, slot: str) -> RunRecord | None:
    """Return the run that made what a stage left, be it this one or an earlier one that it was reused from.

    None where that run's record is gone.
    """
    stage = next((stage for stage in run.stages() if stage.slot == slot), None)
    if stage is None or not stage.cached:
        return run
    for folder in Store(run.store).referring():
        # A damaged record of another run tells nothing.
        with contextlib.suppress(UserError):
            other = RunRecord.read(folder)
            if any(made.key == stage.key and not made.cached and not made.error for made in other.stages()):
                return other
    return None
