"""How what a stage left differs from what it left before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from embedrun.store import Stored
from embedrun_plugins.results.reproduce import set_differences

_MOST = 5


def changes(then: Stored, now: Stored) -> list[str]:
    """Name the rows of a retrieval set that differ, or an artifact's files, weights with by how much."""
    of_sets = all((stored.out / "corpus.jsonl").is_file() for stored in (then, now))
    if of_sets and (rows := set_differences.changes(then.out, now.out)):
        return rows
    files = list(_files(then, now))
    return files if len(files) <= _MOST else [*files[:_MOST], f"… and {len(files) - _MOST} more files"]


def _files(then: Stored, now: Stored) -> Iterator[str]:
    before, after = then.manifest["files"], now.manifest["files"]
    for name in sorted(before.keys() | after.keys()):
        if name not in before or name not in after:
            yield f"{name} is {'gone' if name in before else 'new'}"
        elif before[name]["sha256"] != after[name]["sha256"]:
            largest = _largest_step(then.out / name, now.out / name) if name.endswith(".safetensors") else None
            yield f"{name} differs" if largest is None else f"{name}: weights differ by up to {largest:.2g}"


def _largest_step(then: Path, now: Path) -> float | None:
    """Return the largest difference between two files' weights; None where they do not hold the same tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(then, "pt") as before, safe_open(now, "pt") as after:
            if set(before.keys()) != set(after.keys()):
                return None
            pairs = ((before.get_tensor(name).float(), after.get_tensor(name).float()) for name in before.keys())  # noqa: SIM118 - it is no dict
            return max((float((first - second).abs().max()) for first, second in pairs if first.numel()), default=0.0)
    except (SafetensorError, OSError, RuntimeError):
        return None
