"""A run as a training job, from what is sent to what comes back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from embedrun import RunRecord
from embedrun.errors import EmbedrunError, StageError
from embedrun.runtimes import Job
from embedrun_plugins.endpoints import naming, roles
from embedrun_plugins.endpoints.uploading import Storage
from embedrun_plugins.jobs import machines, repository, returning
from embedrun_plugins.jobs.finding import locked, taken_up
from embedrun_plugins.jobs.sending import Sending
from embedrun_plugins.jobs.training_job import TrainingJob, request
from embedrun_plugins.jobs.work import Work
from embedrun_plugins.ledger.clients import Clients
from embedrun_plugins.ledger.entries import Entry, Ledger, Place, Resource
from embedrun_plugins.ledger.removal import JOB, S3, remove

if TYPE_CHECKING:
    from embedrun_plugins.jobs.logs import Logs
    from embedrun_plugins.runtimes.sagemaker import SageMaker

_MORE_SECONDS = 6 * 3600
"""How much longer than it may train a job is waited for: until there are machines, and for its files to move."""
_AGAIN = "the same command goes on from the last stage or checkpoint"


def carry_out(stage: SageMaker, job: Job) -> int:
    """Run in a training job, a new one or the one that does this work already; return the exit code.

    Raises UserError where it cannot be begun, StageError where it ends without a result.
    """
    clients = stage.clients()
    job.console.started("runtime", stage.type)
    try:
        return _Carrying(stage, job, Work(job), clients, clients.place()).run()
    finally:
        job.console.close()


@dataclass
class _Carrying:
    stage: SageMaker
    job: Job
    work: Work
    clients: Clients
    place: Place

    def run(self) -> int:
        if doubt := machines.require(self.job.plan.recipe.trainer, self.stage.instance_type, self.stage.instances):
            self._say(f"warning: runtime: {doubt}")
        ledger = Ledger()
        with locked(ledger, self.work.id):
            entry, running = taken_up(ledger, self.clients, self.place, self.work.id)
            if entry and running:
                _own(entry, self.job, self.stage.max_age_hours)
                self._say(f"training job {running.name} does this already; going on with it")
            else:
                entry, running = self._begin(ledger, entry)
        self._note({"name": running.name, "region": self.place.region, "account": self.place.account})
        with self._asking_to_stop(running):
            told, logs = running.watch(self._seconds(), self._say)
        if told is None:
            raise StageError(f"training job {running.name}: was deleted by somebody else while it ran")
        return self._end(entry, told, logs)

    def _begin(self, ledger: Ledger, entry: Entry | None) -> tuple[Entry, TrainingJob]:
        """Send what the job needs and ask for it, going on from what an earlier one of the same work left in S3."""
        stage, work = self.stage, self.work
        role = roles.find(self.clients, stage.role, self.place.account)
        environment = work.environment(stage.env)
        if unset := work.unset(stage.env):
            self._say(
                f"warning: runtime: the job does not get {', '.join(unset)}, which the recipe's stages may read; "
                "runtime.env passes variables on, and whoever may describe the job can read them"
            )
        run = f"{self.job.run_folder.parent.name}/{self.job.run_folder.name}"
        image = repository.image(stage, self.job, self.clients, self.place, ledger, run)
        if entry is None:
            entry = ledger.open(
                run=run,
                hours=stage.max_age_hours,
                folder=str(self.job.run_folder),
                deployer="sagemaker (training)",
                place=self.place,
                usd_per_hour=stage.usd_per_hour(),
                work=work.id,
            )
        else:
            _own(entry, self.job, stage.max_age_hours)
        storage = Storage(self.clients, self.place, entry, stage.bucket)
        storage.open()
        base = f"s3://{storage.name}/{stage.prefix}/jobs/{work.id}"
        entry.add(Resource(kind=S3, name=f"{base}/"))
        channels = work.channels()
        Sending(storage, base, self.job.console.progress).send(channels)
        running = TrainingJob(self.clients, naming.version_name(f"embedrun-{_plain(self.job.plan.recipe.name)}"))
        entry.add(Resource(kind=JOB, name=running.name))
        running.create(
            request(
                stage,
                base=base,
                image=image,
                role=role,
                channels=channels,
                hyperparameters=work.hyperparameters(stage.instances),
                environment=environment,
                tags=self._tags(run, entry),
            )
        )
        self._say(f"training job {running.name}: {_console(self.place, running.name)}")
        return entry, running

    def _tags(self, run: str, entry: Entry) -> list[dict[str, str]]:
        record = entry.read()
        until = f"{record.expires:%Y-%m-%dT%H:%M:%SZ}" if record and record.expires else "never"
        own = {naming.RUN_TAG: run, naming.RECIPE_TAG: self.job.plan.recipe.name, naming.EXPIRES_TAG: until}
        return naming.tags({**self.stage.tags, **own})

    def _seconds(self) -> float:
        stage = self.stage
        most = (stage.max_wait_hours or 2 * stage.max_hours) if stage.spot else stage.max_hours
        return most * 3600 + _MORE_SECONDS

    def _end(self, entry: Entry, told: Mapping[str, Any], logs: Logs) -> int:
        """Bring back what the job left, and say why it ended, if not because it was done."""
        recorded = returning.fetch(self.clients, told, self.job, self.job.console.progress)
        name, state = told["TrainingJobName"], told["TrainingJobStatus"]
        if seconds := told.get("BillableTimeInSeconds"):
            price = self.stage.usd_per_hour()
            cost = f", about ${seconds / 3600 * price:.2f} (an estimate)" if price and not self.stage.spot else ""
            self._say(f"training job {name}: {state}, {seconds} s are billed{cost}")
        if state == "Completed":
            if not recorded:
                entry.drop(Resource(kind=JOB, name=name))
                raise StageError(
                    f"training job {name}: is completed, and its results are no longer in S3; run it again"
                )
            self._tidy(entry)
            return 0
        if state == "Stopped":
            raise StageError(f"training job {name}: was stopped: {_reason(told)}; {_AGAIN}")
        if recorded and RunRecord.read(self.job.run_folder).data["status"] == "failed":
            return StageError.exit_code
        lines = "".join(f"\n  {line}" for line in logs.last)
        raise StageError(f"training job {name}: failed: {_reason(told)}" + (lines and f"\nits last lines:{lines}"))

    def _tidy(self, entry: Entry) -> None:
        """Remove what a job that is done left in S3."""
        if self.stage.keep:
            return
        for fault in remove(entry, clients=self.clients):
            self._say(f"warning: of the training job: {fault}; `embedrun resources` shows it")

    @contextlib.contextmanager
    def _asking_to_stop(self, running: TrainingJob) -> Iterator[None]:
        """Ask, where the user ends this command, whether the job is to end, too; tell where it is lost from sight."""
        try:
            yield
        except KeyboardInterrupt:
            self.job.console.close()
            if _agrees(f"\nStop training job {running.name}, too? It leaves a checkpoint. [y/N] "):
                try:
                    running.stop()
                    self._say(f"training job {running.name} is told to stop; {_AGAIN}")
                except EmbedrunError as error:
                    self._say(f"training job {running.name} goes on, and costs: {error}")
            else:
                self._say(
                    f"training job {running.name} goes on, and costs; the same command finds it again, "
                    f"and `embedrun delete {self.job.run_folder.parent.name}` stops it"
                )
            raise
        except EmbedrunError:
            self._say(
                f"training job {running.name} may go on, and cost; the same command finds it again, "
                f"and `embedrun delete {self.job.run_folder.parent.name}` stops it"
            )
            raise

    def _say(self, text: str) -> None:
        self.job.console.say(text)

    def _note(self, what: Mapping[str, str]) -> None:
        record = RunRecord.read(self.job.run_folder)
        record.data["job"] = dict(what)
        record.save()


def _own(entry: Entry, job: Job, hours: float | None) -> None:
    """Have the ledger name the run that waits for the job now, and begin its age limit again."""
    if record := entry.read():
        run = f"{job.run_folder.parent.name}/{job.run_folder.name}"
        expires = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=hours) if hours else None
        entry.write(record.model_copy(update={"run": run, "folder": str(job.run_folder), "expires": expires}))


def _agrees(question: str) -> bool:
    if not sys.stdin or not sys.stdin.isatty():
        return False
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False


def _reason(told: Mapping[str, Any]) -> str:
    detail = str(told.get("SecondaryStatus") or "")
    if detail in ("MaxRuntimeExceeded", "MaxWaitTimeExceeded"):
        which = "max_hours" if detail == "MaxRuntimeExceeded" else "max_wait_hours"
        return f"it took longer than runtime.{which} allows"
    return str(told.get("FailureReason") or "SageMaker gives no reason").strip().rstrip(".")


def _plain(name: str) -> str:
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name).strip("-") or "recipe"


def _console(place: Place, name: str) -> str:
    region = place.region
    return f"https://{region}.console.aws.amazon.com/sagemaker/home?region={region}#/jobs/{name}"
