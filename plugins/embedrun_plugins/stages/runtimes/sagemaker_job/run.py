"""A run as a training job, from what is sent to what comes back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedrun import RunRecord
from embedrun.errors import EmbedrunError
from embedrun.job import Job
from embedrun.stages import Trainer
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Entry, Ledger, Place, Resource, expiry
from embedrun_plugins.services.ledger.resources import JOB, S3
from embedrun_plugins.services.remote_run import AGAIN
from embedrun_plugins.services.sagemaker import iam_role, names
from embedrun_plugins.services.sagemaker.upload import Storage
from embedrun_plugins.stages.runtimes.sagemaker_job import ecr_image, instance_types
from embedrun_plugins.stages.runtimes.sagemaker_job.finish import Ending
from embedrun_plugins.stages.runtimes.sagemaker_job.job_inputs import Work
from embedrun_plugins.stages.runtimes.sagemaker_job.resume import locked, taken_up
from embedrun_plugins.stages.runtimes.sagemaker_job.training_job import TrainingJob, request
from embedrun_plugins.stages.runtimes.sagemaker_job.upload import Sending

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
        return _Execution(stage, job, Work(job, stage.image), clients, clients.place(), Ledger()).run()
    finally:
        job.console.close()
        clients.close()


@dataclass
class _Execution:
    stage: JobOptions
    job: Job
    work: Work
    clients: Clients
    place: Place
    ledger: Ledger

    def run(self) -> int:
        trainer = next((stage for stage in self.job.stages if isinstance(stage, Trainer)), None)
        if doubt := instance_types.require(trainer, self.stage.instance_type, self.stage.instances):
            self._say(f"warning: runtime: {doubt}")
        with locked(self.ledger, self.work.id, self._say):
            entry, running = taken_up(self.ledger, self.clients, self.place, self.work.id, self._say)
            if entry and running:
                self._go_on(entry, running)
            else:
                entry, running = self._begin(entry)
        with self._asking_to_stop(running):
            told, logs = running.watch(self._seconds(), self._say)
        with locked(self.ledger, self.work.id, self._say):
            return Ending(self.stage, self.job, self.clients, entry, running.name, told, logs).conclude()

    @property
    def _run(self) -> str:
        return self.job.run.id

    def _go_on(self, entry: Entry, running: TrainingJob) -> None:
        """Follow a job that is there already, whatever machines the recipe asks for now."""
        self._own(entry)
        self._note(running)
        self._say(f"training job {running.name} is doing this work already; following it")
        found = (running.describe() or {}).get("ResourceConfig") or {}
        wanted = (self.stage.instance_type, self.stage.instances)
        if found and (found.get("InstanceType"), found.get("InstanceCount")) != wanted:
            self._say(
                f"warning: runtime: it has {found['InstanceCount']} of {found['InstanceType']}, and the recipe asks "
                f"for others; `embedrun delete {self._run}` stops it, then run again"
            )

    def _begin(self, entry: Entry | None) -> tuple[Entry, TrainingJob]:
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
        Sending(storage, base, self.job.console.progress).send(channels)
        running = TrainingJob(self.clients, names.version_name(f"embedrun-{_plain(self.job.recipe['name'])}"))
        entry.add(Resource(kind=JOB, name=running.name))
        asked = request(
            self.stage,
            base=base,
            image=image,
            role=role,
            channels=channels,
            hyperparameters=self.work.hyperparameters(self.stage.instances),
            tags=self._tags(entry),
        )
        with self._asking_to_stop(running, begun=False):
            running.create(asked)
        self._note(running)
        self._say(f"training job {running.name}: {_console(self.place, running.name)}")
        return entry, running

    def _open(self) -> Entry:
        return self.ledger.open(
            run=self._run,
            hours=self.stage.max_age_hours,
            folder=str(self.job.run_folder),
            deployer="sagemaker (training)",
            place=self.place,
            usd_per_hour=self.stage.usd_per_hour(),
            work=self.work.id,
        )

    def _own(self, entry: Entry) -> None:
        """Have the ledger name the run that waits for the job now, and begin its age limit again."""
        entry.update(
            run=self._run,
            folder=str(self.job.run_folder),
            expires=expiry(self.stage.max_age_hours),
            usd_per_hour=self.stage.usd_per_hour(),
        )

    def _tell_unset(self) -> None:
        if unset := self.work.unset(self.stage.env):
            self._say(
                f"warning: runtime: the job does not get {', '.join(unset)}, which the recipe's stages may read; "
                "runtime.env passes variables on, and whoever may describe the job can read them"
            )

    def _tags(self, entry: Entry) -> list[dict[str, str]]:
        own = names.own_tags(self._run, self.job.recipe["name"], entry.read())
        return names.tags({**self.stage.tags, **own})

    def _seconds(self) -> float:
        return self.stage.longest_hours() * 3600 + _MORE_SECONDS

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
        return f"the same command finds it again, and `embedrun delete {self._run}` stops it"

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


def _console(place: Place, name: str) -> str:
    region = place.region
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{name}"
