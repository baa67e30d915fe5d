"""The ledger: a file for each deployment that says what of it may exist.

It lies in `$EMBEDRUN_LEDGER`, else in `$XDG_STATE_HOME/embedrun/ledger` (`~/.local/state`), one for all projects of a
user on a machine. What is about to be made is on the disk before it is asked for; what is gone is taken out.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import BaseModel, ConfigDict, ValidationError

from embedrun.errors import StoreError

VARIABLE = "EMBEDRUN_LEDGER"


class Resource(BaseModel):
    """One thing that was made, or was about to be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    """What it is: a kind that `removal` can remove."""
    name: str
    """What its service calls it."""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Location(BaseModel):
    """Where resources live; never a secret."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: str
    """Number of the AWS account."""
    region: str
    profile: str | None = None
    """Profile of the AWS configuration that they were made with."""

    def is_same(self, other: Location) -> bool:
        """Say whether both are one account's region, whatever the profile."""
        return (self.account, self.region) == (other.account, other.region)


class Record(BaseModel):
    """All of one deployment."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    run: str
    """The run that it belongs to, NAME/TIME."""
    folder: str | None = None
    """Folder of the run."""
    deployer: str
    place: Location
    created: datetime
    expires: datetime | None = None
    """When `embedrun delete --expired` removes it."""
    usd_per_hour: float | None = None
    """List price while it runs, with the least instances, if known."""
    most_usd_per_hour: float | None = None
    """The same with as many as scaling may add."""
    price_date: str | None = None
    """Day of the price list; a price without one, from before lists were asked, is not shown."""
    pays_requests: bool = False
    """Whether every request costs something, too."""
    work: str | None = None
    """Digest of what a training job is to do, by which the same work is known again."""
    resources: tuple[Resource, ...] = ()
    """In the order in which they are made."""

    def is_expired(self) -> bool:
        return self.expires is not None and self.expires <= datetime.now(UTC)


@dataclass(frozen=True)
class LedgerEntry:
    """A deployment's file."""

    file: Path

    @property
    def id(self) -> str:
        return self.file.stem

    def read(self) -> Record | None:
        """Return what is written; None where nothing of it is left. Raises StoreError where the file is damaged."""
        try:
            return Record.model_validate_json(self.file.read_text("utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise StoreError(
                f"{self.file}: cannot be read ({type(error).__name__}); look at it, and remove by hand what it names"
            ) from error

    def add(self, *resources: Resource) -> None:
        """Write down what is about to be made; it is on the disk when this returns."""
        self._change(lambda there: (*there, *(resource for resource in resources if resource not in there)))

    def drop(self, *resources: Resource) -> None:
        """Take out what is gone."""
        self._change(lambda there: tuple(resource for resource in there if resource not in resources))

    def update(self, **values: Any) -> None:
        """Change what is written beside the resources, if anything is left of the deployment."""
        with self._locked():
            if record := self.read():
                self.write(record.model_copy(update=values))

    def close(self) -> None:
        """Remove the file if nothing is left of the deployment."""
        with self._locked():
            record = self.read()
            if record and not record.resources:
                self.file.unlink()

    def _change(self, change: Callable[[tuple[Resource, ...]], tuple[Resource, ...]]) -> None:
        with self._locked():
            record = self.read()
            if record is None:
                raise StoreError(f"{self.file}: was removed by another command while it was needed here")
            self.write(record.model_copy(update={"resources": change(record.resources)}))

    def write(self, record: Record) -> None:
        """Replace the file so that a crash leaves the old or the new one, whole."""
        text = json.dumps(record.model_dump(mode="json"), indent=1) + "\n"
        scratch = self.file.with_name(f".{self.file.name}.{os.getpid()}")
        try:
            with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(self.file)
            _sync(self.file.parent)
        except OSError as error:
            raise StoreError(f"{self.file}: cannot be written: {error.strerror}; set {VARIABLE}") from error

    def _locked(self) -> FileLock:
        return FileLock(self.file.with_name(".lock"))


class Ledger:
    """All deployments of this user on this machine."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def open(self, *, run: str, hours: float | None, **values: Any) -> LedgerEntry:
        """Begin a deployment's file. Raises StoreError where none can be written: then nothing may be made."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise StoreError(f"{self.folder}: cannot be made: {error.strerror}; set {VARIABLE}") from error
        now = datetime.now(UTC).replace(microsecond=0)
        entry = LedgerEntry(self.folder / f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}.json")
        entry.write(Record(run=run, created=now, expires=expiry(hours), **values))
        return entry

    def entries(self, damaged: list[str] | None = None) -> Iterator[tuple[LedgerEntry, Record]]:
        """Yield every deployment, the oldest first.

        Raises StoreError where a file is damaged; or adds what is wrong to `damaged`, where that is given.
        """
        for file in sorted(self.folder.glob("*.json")):
            entry = LedgerEntry(file)
            try:
                record = entry.read()
            except StoreError as error:
                if damaged is None:
                    raise
                damaged.append(str(error))
                continue
            if record:
                yield entry, record

    def of_run(self, folder: Path, damaged: list[str] | None = None) -> Iterator[tuple[LedgerEntry, Record]]:
        """Yield the deployments of a run, also where its folder was moved since. Raises as `entries` does."""
        there, run = folder.resolve(), f"{folder.resolve().parent.name}/{folder.resolve().name}"
        for entry, record in self.entries(damaged):
            recorded = Path(record.folder) if record.folder else None
            if recorded == there or (record.run == run and not (recorded and recorded.exists())):
                yield entry, record

    def find(self, identifier: str) -> tuple[LedgerEntry, Record] | None:
        entry = LedgerEntry(self.folder / f"{identifier}.json")
        record = entry.read()
        return (entry, record) if record else None


def expiry(hours: float | None) -> datetime | None:
    """Return the end of so many hours from now; None for no end."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours) if hours else None


def default_folder() -> Path:
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "embedrun" / "ledger"


def expired(entries: Iterable[tuple[LedgerEntry, Record]]) -> list[tuple[LedgerEntry, Record]]:
    return [(entry, record) for entry, record in entries if record.is_expired()]


def _sync(folder: Path) -> None:
    """Make a rename last: until its folder is synced, a crash may undo it."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
