"""The end of a job: what it left is brought back, and why it ended is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from embedrun import RunRecord
from embedrun.errors import StageError
from embedrun.job import Job
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import LedgerEntry, Resource
from embedrun_plugins.services.ledger.prices import TRAINING, look_up
from embedrun_plugins.services.ledger.resources import BUCKET, JOB, S3, remove
from embedrun_plugins.services.ledger.s3 import remove_objects
from embedrun_plugins.services.remote_run import AGAIN
from embedrun_plugins.stages.runtimes.sagemaker_job.download import Download
from embedrun_plugins.stages.runtimes.sagemaker_job.logs import Logs

if TYPE_CHECKING:
    from embedrun_plugins.stages.runtimes.sagemaker_job.options import JobOptions

_LIMITS = {"MaxRuntimeExceeded": "max_hours", "MaxWaitTimeExceeded": "max_wait_hours"}
_SENT = ("recipe/", "inputs/", "store/", "checkpoints/")


@dataclass(frozen=True)
class Ending:
    """How one job ended."""

    stage: JobOptions
    job: Job
    clients: Clients
    entry: LedgerEntry
    name: str
    told: Mapping[str, Any] | None
    """What SageMaker says of it; None where it knows none any more."""
    logs: Logs

    def conclude(self) -> int:
        """Bring back what it left; return the exit code. Raises StageError where it ended without its results."""
        if self.told is None:
            raise StageError(f"training job {self.name}: was deleted by somebody else while it ran")
        returned = Download(self.clients, self.told, self.job, self.job.console.progress)
        recorded, state = returned.fetch(), self.told["TrainingJobStatus"]
        self._tell_price()
        if state == "Completed":
            return self._done(returned, recorded=recorded)
        left = f"what it left stays in S3 until then, or until `embedrun delete {self.job.run.id}`"
        if state == "Stopped":
            reason = f"training job {self.name}: was stopped{self._why_stopped()}; {AGAIN}; {left}"
            self._mark(reason)
            raise StageError(reason)
        if recorded and RunRecord.read(self.job.run_folder).status == "failed":
            return StageError.exit_code
        lines = "".join(f"\n  {line}" for line in self.logs.last)
        raise StageError(
            f"training job {self.name}: failed: {_reason(self.told)}" + (lines and f"\nits last lines:{lines}")
        )

    def _done(self, returned: Download, *, recorded: bool) -> int:
        if not recorded:
            if not self.job.left():  # another command fetched it meanwhile
                return self.job.here()
            if self.entry.read():
                self.entry.drop(Resource(kind=JOB, name=self.name))
            raise StageError(
                f"training job {self.name}: is completed, and its results are no longer in S3; run it again"
            )
        if missing := returned.complete():
            raise StageError(
                f"training job {self.name}: is completed, and made no result for {', '.join(missing)} as this machine "
                "would: has its image other versions of embedrun or a plugin than are installed here?"
            )
        self._tidy(returned)
        return 0

    def _tidy(self, returned: Download) -> None:
        """Remove what a job that is done left in S3; where its results are kept there, what was sent."""
        record = self.entry.read()
        if self.stage.keep:
            for folder in _SENT:
                remove_objects(self.clients, f"{returned.base}/{folder}")
            self.entry.update(work=None, usd_per_hour=0.0)
            self.entry.drop(
                *(resource for resource in record.resources if resource.kind not in (S3, BUCKET)) if record else ()
            )
            return
        if record and self.job.recipe["deployer"]:  # which want the bucket at once, and S3 takes its time
            self.entry.drop(*(resource for resource in record.resources if resource.kind == BUCKET))
        for fault in remove(self.entry, clients=self.clients):
            self.job.console.say(f"warning: left from the training job: {fault}; `embedrun resources` shows it")

    def _tell_price(self) -> None:
        described = self.told or {}
        if seconds := described.get("BillableTimeInSeconds"):
            machines = described.get("ResourceConfig") or {}
            region = str(self.clients("sagemaker").meta.region_name)
            listed = look_up(str(machines.get("InstanceType")), region, TRAINING, self.clients.profile)
            hours = seconds / 3600 * int(machines.get("InstanceCount") or 1)
            cost = f", about ${hours * listed.usd:.2f} by {listed}" if listed else ""
            state = described["TrainingJobStatus"]
            self.job.console.say(f"training job {self.name}: {state}, {seconds} s are billed{cost}")

    def _why_stopped(self) -> str:
        described = self.told or {}
        if limit := _LIMITS.get(str(described.get("SecondaryStatus"))):
            return f": it took longer than runtime.{limit} allows"
        if described.get("FailureReason"):
            return f": {_reason(described)}"
        return " by somebody, be it in the console or by `embedrun delete`"

    def _mark(self, reason: str) -> None:
        """Have the record, which the job left as interrupted, say why."""
        RunRecord.read(self.job.run_folder).change(error=reason)


def _reason(described: Mapping[str, Any]) -> str:
    return shown(str(described.get("FailureReason") or "SageMaker gives no reason")).strip().rstrip(".")
