"""Finding the job that does the same work already, or what it left."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from filelock import FileLock

from embedrun_plugins.jobs.training_job import TrainingJob
from embedrun_plugins.ledger.clients import Clients
from embedrun_plugins.ledger.entries import Entry, Ledger, Place
from embedrun_plugins.ledger.removal import JOB, job_settled

_SECONDS = 1800.0


@contextlib.contextmanager
def locked(ledger: Ledger, work: str) -> Iterator[None]:
    """Keep other commands of this user from beginning the same work meanwhile."""
    ledger.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with FileLock(ledger.folder / f".work-{work}.lock"):
        yield


def taken_up(ledger: Ledger, clients: Clients, place: Place, work: str) -> tuple[Entry | None, TrainingJob | None]:
    """Return what the ledger knows of the work, and the job to go on with: one that runs, or is done.

    One that is being stopped is waited for, since its checkpoint is what the next goes on from.
    """
    for entry, record in reversed(list(ledger.entries())):
        same = (record.place.account, record.place.region) == (place.account, place.region)
        if record.work != work or not same:
            continue
        names = [one.name for one in record.resources if one.kind == JOB]
        found = job_settled(clients, names[-1], _SECONDS) if names else None
        goes_on = found and found["TrainingJobStatus"] in ("InProgress", "Completed")
        return entry, TrainingJob(clients, names[-1]) if goes_on else None
    return None, None
