"""`embedrun gc`: free what no run refers to."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from embedrun import RunRecord
from embedrun.store import Store, size_of
from embedrun_plugins.cli.arguments import places, settings_of


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--dry-run", action="store_true", help="only show what would be freed")
    places(parser)


def run(arguments: Namespace) -> int:
    store = Store(settings_of(arguments).store_folder)
    runs = {*store.referring(), *(path.parent.resolve() for path in arguments.runs.glob("*/*/run.json"))}
    dead = store.dead(key for run in runs for key in RunRecord.read(run).results())
    if arguments.dry_run:
        print(f"would free {len(dead)} results, {sum(map(size_of, dead)) / 1e6:,.1f} MB")
        return 0
    removed, size = store.remove(dead)
    print(f"freed {removed} results, {size / 1e6:,.1f} MB")
    return 0
