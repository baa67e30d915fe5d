"""`embedrun gc`: free what no run refers to."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from pathlib import Path

from embedrun import RunRecord
from embedrun.hashing import folder_files
from embedrun.store import Store
from embedrun_plugins.cli.arguments import places, settings_of


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would be freed")
    places(parser)


def run(arguments: Namespace) -> int:
    store = Store(settings_of(arguments).store_folder)
    runs = {*store.referring(), *(path.parent.resolve() for path in arguments.runs.glob("*/*/run.json"))}
    dead = unused(store, {key for run in runs for key in RunRecord.read(run).results()})
    if arguments.dry_run:
        print(f"would free {len(dead)} results, {sum(map(_size, dead)) / 1e6:,.1f} MB")
        return 0
    removed, size = remove(store, dead)
    print(f"freed {removed} results, {size / 1e6:,.1f} MB")
    return 0


def unused(store: Store, live: AbstractSet[str]) -> list[Path]:
    """Return the folders of results and broken-off builds whose keys are not live."""
    folders = [path.parent for path in store.root.glob("??/*/manifest.json")]
    folders += [path for path in (store.root / "tmp").glob("*") if path.is_dir()]
    return sorted(folder for folder in folders if folder.name not in live)


def remove(store: Store, folders: Iterable[Path]) -> tuple[int, int]:
    """Remove folders of a store, except what is being built; return how many, and their bytes."""
    from filelock import Timeout

    removed = size = 0
    for folder in folders:
        with contextlib.suppress(Timeout), store.lock(folder.name).acquire(timeout=0):
            size += _size(folder)
            removed += 1
            store.discard(folder)
    return removed, size


def _size(folder: Path) -> int:
    """Return the bytes of a folder's files."""
    return sum(path.stat().st_size for path in folder_files(folder).values())
