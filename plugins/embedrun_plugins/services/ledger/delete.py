"""Deleting what runs deployed: by their own records, then by the ledger, which knows what no record got to name."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from embedrun import PluginError, RunRecord, UserError, deployments
from embedrun.registry import Registry
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.endpoints.deployed import read
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location, Record, expired
from embedrun_plugins.services.ledger.resources import remove

Say = Callable[[str], None]


@dataclass
class Deleted:
    """What came of it."""

    count: int = 0
    faults: list[str] = field(default_factory=list)
    """What could not be removed, and why."""
    tried: set[str] = field(default_factory=set)
    """Entries of the ledger that runs' own records named."""
    clients: Callable[[Location], Clients] = field(default_factory=lambda: cache(Clients.of))
    """Those of each place, made once."""


def of_run(name: str, runs: Path, say: Say) -> Deleted:
    """Delete what a run deployed, or all runs of a recipe; a run whose folder is gone is known to the ledger alone.

    Raises UserError where neither knows it.
    """
    ledger, deleted = Ledger(), Deleted()
    try:
        folders = _folders(name, runs)
    except UserError:
        entries = [(entry, record) for entry, record in ledger.entries(deleted.faults) if _is_meant(record, name)]
        if not entries:
            raise
        _remove(entries, deleted, say)
        return deleted
    for folder in folders:
        for file in deployments.files(folder):
            _delete(file, deleted, say)
        damaged: list[str] = []  # which may be of any run
        _remove(list(ledger.of_run(folder, damaged)), deleted, say)
        deleted.faults += [fault for fault in damaged if fault not in deleted.faults]
    return deleted


def of_ledger(say: Say, *, only_expired: bool) -> Deleted:
    """Delete what the ledger names, of every run on this machine."""
    deleted = Deleted()
    entries = list(Ledger().entries(deleted.faults))
    _remove(expired(entries) if only_expired else entries, deleted, say)
    return deleted


def _folders(name: str, runs: Path) -> list[Path]:
    """Return the run's folder; a recipe's name means all of its runs, a run's folder that run."""
    folder = find_run(name, runs)
    is_run = any((path / "run.json").exists() for path in (Path(name), runs / name))
    return [folder] if is_run else sorted(path.parent for path in folder.parent.glob("*/run.json"))


def _is_meant(record: Record, name: str) -> bool:
    return name in (record.run, record.folder, record.run.partition("/")[0])


def _delete(file: Path, deleted: Deleted, say: Say) -> None:
    """Delete what an endpoint file describes."""
    try:
        deployment = read(file, Registry(RunRecord(file.parents[2], {}).plugins_kept))
        deleted.tried.add(str(deployment.endpoint.details.get("ledger")))
        deployment.deployer.delete(deployment.endpoint)
    except (UserError, PluginError) as error:
        deleted.faults.append(str(error))
        return
    except (KeyError, ValueError, TypeError) as error:
        deleted.faults.append(f"{file}: lacks what deleting takes ({type(error).__name__}: {error})")
        return
    endpoint = deployment.endpoint
    deployments.delete(file)
    deleted.count += 1
    say(f"deleted {endpoint.deployer} {endpoint.url or endpoint.path or ''}")


def _remove(entries: Iterable[tuple[LedgerEntry, Record]], deleted: Deleted, say: Say) -> None:
    """Remove what entries of the ledger name, and mark the runs' own records."""
    for entry, record in entries:
        if entry.id in deleted.tried or entry.read() is None:
            continue
        if faults := remove(entry, say, deleted.clients(record.place)):
            deleted.faults += [f"{record.run}: {fault}" for fault in faults]
            continue
        deleted.count += 1
        say(f"deleted {record.deployer} of {record.run}: {', '.join(map(str, record.resources)) or 'nothing was made'}")
        _mark(record, entry.id)


def _mark(record: Record, identifier: str) -> None:
    for file in deployments.files(Path(record.folder)) if record.folder else ():
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # a damaged record names no entry
            if deployments.read(file).details.get("ledger") == identifier:
                deployments.delete(file)
