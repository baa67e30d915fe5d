"""Finding the job that does the same work already, or what it left."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location
from embedrun_plugins.services.ledger.resources import JOB, job_settled
from embedrun_plugins.stages.runtimes.sagemaker_job.training_job import TrainingJob

_SECONDS = 1800.0
Say = Callable[[str], None]


@contextlib.contextmanager
def locked(ledger: Ledger, work: str, say: Say) -> Iterator[None]:
    """Keep other commands of this user from beginning or ending the same work meanwhile."""
    ledger.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(ledger.folder / f".work-{work}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say("another command is starting or ending the same work; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def find_running_job(
    ledger: Ledger, clients: Clients, location: Location, work: str, say: Say
) -> tuple[LedgerEntry | None, TrainingJob | None]:
    """Return what the ledger knows of the work, and the job to go on with: one that runs, or is done.

    One that is being stopped is waited for, since its checkpoint is what the next goes on from.
    """
    damaged: list[str] = []
    entries = list(ledger.entries(damaged))
    for fault in damaged:
        say(f"warning: {fault}")
    for entry, record in reversed(entries):
        if record.work != work or not record.place.is_same(location):
            continue
        names = [resource.name for resource in record.resources if resource.kind == JOB]
        last = job_settled(clients, names[-1], _SECONDS, say=say) if names else None
        goes_on = last and last["TrainingJobStatus"] in ("InProgress", "Completed")
        return entry, TrainingJob(clients, names[-1]) if goes_on else None
    return None, None
