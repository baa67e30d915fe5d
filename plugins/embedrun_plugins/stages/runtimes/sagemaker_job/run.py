"""A run as a training job, from what is sent to what comes back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from embedrun import RunRecord
from embedrun.errors import EmbedrunError
from embedrun.job import Job
from embedrun.stages import Trainer
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location, Resource, expiry
from embedrun_plugins.services.ledger.prices import TRAINING, Price, look_up
from embedrun_plugins.services.ledger.resources import JOB, S3
from embedrun_plugins.services.remote_run import AGAIN
from embedrun_plugins.services.sagemaker import iam_role, names
from embedrun_plugins.services.sagemaker.upload import Storage
from embedrun_plugins.stages.runtimes.sagemaker_job import ecr_image, instance_types
from embedrun_plugins.stages.runtimes.sagemaker_job.finish import Ending
from embedrun_plugins.stages.runtimes.sagemaker_job.job_inputs import JobInputs
from embedrun_plugins.stages.runtimes.sagemaker_job.resume import find_running_job, locked
from embedrun_plugins.stages.runtimes.sagemaker_job.training_job import TrainingJob, request
from embedrun_plugins.stages.runtimes.sagemaker_job.upload import Upload

if TYPE_CHECKING:
    from embedrun_plugins.stages.runtimes.sagemaker_job.options import JobOptions

_MORE_SECONDS = 6 * 3600
"""How much longer than it may train a job is waited for: until there are machines, and for its files to move."""


def execute(stage: JobOptions, job: Job) -> int:
    """Run in a training job, a new one or the one that does this work already; return the exit code.

    Raises UserError where it cannot be begun, StageError where it ends without a result.
    """
    job.console.started("runtime", stage.type)
    clients = stage.clients()
    try:
        return _JobRun(stage, job, JobInputs(job, stage.image), clients, clients.place(), Ledger()).run()
    finally:
        job.console.close()
        clients.close()


@dataclass
class _JobRun:
    stage: JobOptions
    job: Job
    work: JobInputs
    clients: Clients
    place: Location
    ledger: Ledger

    def run(self) -> int:
        trainer = next((stage for stage in self.job.stages if isinstance(stage, Trainer)), None)
        if doubt := instance_types.require(trainer, self.stage.instance_type, self.stage.instances):
            self._say(f"warning: runtime: {doubt}")
        with locked(self.ledger, self.work.id, self._say):
            entry, running = find_running_job(self.ledger, self.clients, self.place, self.work.id, self._say)
            if entry and running:
                self._go_on(entry, running)
            else:
                entry, running = self._begin(entry)
        with self._asking_to_stop(running):
            described, logs = running.watch(self.stage.longest_hours() * 3600 + _MORE_SECONDS, self._say)
        with locked(self.ledger, self.work.id, self._say):
            return Ending(self.stage, self.job, self.clients, entry, running.name, described, logs).conclude()

    @cached_property
    def _price(self) -> Price:
        """The list price of the machines while they run, on demand; spot costs less."""
        listed = look_up(self.stage.instance_type, self.place.region, TRAINING, self.place.profile)
        return Price.of(listed, self.stage.instances)

    def _go_on(self, entry: LedgerEntry, running: TrainingJob) -> None:
        """Follow a job that is there already, whatever machines the recipe asks for now."""
        self._own(entry)
        self._note(running)
        self._say(f"training job {running.name} is doing this work already; following it")
        machines = (running.describe() or {}).get("ResourceConfig") or {}
        wanted = (self.stage.instance_type, self.stage.instances)
        if machines and (machines.get("InstanceType"), machines.get("InstanceCount")) != wanted:
            self._say(
                f"warning: runtime: it has {machines['InstanceCount']} of {machines['InstanceType']}, and the recipe "
                f"asks for others; `embedrun delete {self.job.run.id}` stops it, then run again"
            )

    def _begin(self, entry: LedgerEntry | None) -> tuple[LedgerEntry, TrainingJob]:
        """Send what the job needs and ask for it, going on from what an earlier one of the same work left in S3."""
        role = iam_role.find(self.clients, self.stage.role, self.place.account)
        self._tell_unset()
        image = ecr_image.image(self.stage, self.job, self.clients, self.place, self.ledger)
        entry = entry or self._open()
        self._own(entry)
        storage = Storage(self.clients, self.place, entry, self.stage.bucket)
        storage.open()
        base = f"s3://{storage.name}/{self.stage.prefix}/jobs/{self.work.id[:12]}-{entry.id}"
        entry.add(Resource(kind=S3, name=f"{base}/"))
        channels = self.work.channels()
        Upload(storage, base, self.job.console.progress).send(channels)
        running = TrainingJob(self.clients, names.version_name(f"embedrun-{_plain(self.job.recipe['name'])}"))
        entry.add(Resource(kind=JOB, name=running.name))
        wanted = request(
            self.stage,
            base=base,
            image=image,
            role=role,
            channels=channels,
            hyperparameters=self.work.hyperparameters(self.stage.instances),
            tags=self._tags(entry),
        )
        with self._asking_to_stop(running, begun=False):
            running.create(wanted)
        self._note(running)
        self._say(f"training job {running.name}: {_console(self.place, running.name)}")
        return entry, running

    def _open(self) -> LedgerEntry:
        return self.ledger.open(
            run=self.job.run.id,
            hours=self.stage.max_age_hours,
            folder=str(self.job.run_folder),
            deployer="sagemaker (training)",
            place=self.place,
            work=self.work.id,
            **self._price.recorded(),
        )

    def _own(self, entry: LedgerEntry) -> None:
        """Have the ledger name the run that waits for the job now, and begin its age limit again."""
        entry.update(
            run=self.job.run.id,
            folder=str(self.job.run_folder),
            expires=expiry(self.stage.max_age_hours),
            **self._price.recorded(),
        )

    def _tell_unset(self) -> None:
        if unset := self.work.unset(self.stage.env):
            self._say(
                f"warning: runtime: the job does not get {', '.join(unset)}, which the recipe's stages may read; "
                "runtime.env passes variables on, and whoever may describe the job can read them"
            )

    def _tags(self, entry: LedgerEntry) -> list[dict[str, str]]:
        run_tags = names.own_tags(self.job.run.id, self.job.recipe["name"], entry.read())
        return names.tags({**self.stage.tags, **run_tags})

    @contextlib.contextmanager
    def _asking_to_stop(self, running: TrainingJob, *, begun: bool = True) -> Iterator[None]:
        """Ask, where the user ends this command, whether the job is to end, too; tell where it is lost from sight."""
        try:
            yield
        except KeyboardInterrupt:
            self.job.console.close()
            if _agrees(f"\nStop training job {running.name}, too? It leaves a checkpoint. [y/N] "):
                self._stop(running)
            else:
                self._say(f"training job {running.name} continues, and costs money; {self._how()}")
            raise
        except EmbedrunError:
            if begun:
                self._say(f"training job {running.name} may continue, and cost money; {self._how()}")
            raise

    def _how(self) -> str:
        return f"the same command finds it again, and `embedrun delete {self.job.run.id}` stops it"

    def _stop(self, running: TrainingJob) -> None:
        try:
            running.stop()
            self._say(f"training job {running.name} has been asked to stop; {AGAIN}")
        except EmbedrunError as error:
            self._say(f"training job {running.name} continues, and costs money: {error}")

    def _say(self, text: str) -> None:
        self.job.console.say(text)

    def _note(self, running: TrainingJob) -> None:
        job = {"name": running.name, "region": self.place.region, "account": self.place.account}
        RunRecord.read(self.job.run_folder).change(job=job)


def _agrees(question: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        return False
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-") or "recipe"


def _console(location: Location, name: str) -> str:
    region = location.region
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{name}"
