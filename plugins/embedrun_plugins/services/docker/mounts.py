"""What a container sees of this machine's files: each at its own path, so that a recipe means the same inside."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun import deployments
from embedrun.record import LOCK

if TYPE_CHECKING:
    from embedrun.job import Job


@dataclass(frozen=True)
class Bind:
    """A file or folder of this machine, at a path of the container."""

    path: Path
    at: Path
    writable: bool = False


def binds(job: Job, caches: Iterable[Path], more: Iterable[Bind]) -> list[Bind]:
    """Return what a run needs: its inputs and the hub's caches to read, the store and the run's folder to write.

    In the run's folder, the lock, the plugins and the deployments are to be read alone: this machine relies on them
    afterwards, also where it is killed while the container runs.
    """
    read = {path: Bind(path, path) for path in (*_with_targets(job.inputs), *caches)}
    written = {path: Bind(path, path, writable=True) for path in (job.store.root.resolve(), job.run_folder)}
    named = {bind.at: bind for bind in more}
    own = [
        path
        for name in ("recipe.yaml", LOCK, "plugins", deployments.FOLDER)
        if (path := job.run_folder / name).exists()
    ]
    by_path = read | named | written | {path: Bind(path, path) for path in own}
    return [by_path[at] for at in sorted(by_path) if not _seen_already(by_path[at], by_path)]


def _seen_already(bind: Bind, by_path: dict[Path, Bind]) -> bool:
    """Say whether a file to read lies in a folder that is there to read anyway."""
    above = (by_path[parent] for parent in bind.at.parents if parent in by_path)
    return not bind.writable and any(not other.writable and bind.path.is_relative_to(other.path) for other in above)


def _with_targets(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each path, and what links in it lead to elsewhere, as in the hub's cache."""
    for path in paths:
        yield path
        if path.is_dir():
            yield from sorted({target for target in _targets(path) if not target.is_relative_to(path)})


def _targets(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if (path := Path(parent, name)).is_symlink() and path.exists():
                yield path.resolve()
