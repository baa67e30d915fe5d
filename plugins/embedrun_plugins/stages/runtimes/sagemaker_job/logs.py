"""What a job's containers print, as it comes, from CloudWatch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from embedrun.errors import EmbedrunError
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about

GROUP = "/aws/sagemaker/TrainingJobs"
_NONE = ("ResourceNotFoundException",)
_DENIED = ("AccessDenied", "AccessDeniedException")
_KEPT = 15
"""Lines that are told again where a job fails."""


@dataclass
class Logs:
    """Follows the logs of one job."""

    clients: Clients
    job: str
    last: list[str] = field(default_factory=list)
    """The last lines."""
    trouble: str | None = None
    """Why nothing more is read."""
    _marks: dict[str, str] = field(default_factory=dict)
    """Where each stream goes on."""

    def new(self) -> Iterator[str]:
        """Yield the lines that came since, each machine's in their order; who may not read logs sees none."""
        if self.trouble:
            return
        try:
            streams = list(self._streams())
            for stream in streams:
                for line in self._lines(stream):
                    named = f"{_machine(stream)}: {line}" if len(streams) > 1 else line
                    self.last = [*self.last, named][-_KEPT:]
                    yield named
        except EmbedrunError as error:
            if is_about(error, _DENIED):  # anything else may pass
                self.trouble = f"its logs cannot be shown: {error}"

    def _streams(self) -> Iterator[str]:
        query: dict[str, str] = {"logGroupName": GROUP, "logStreamNamePrefix": f"{self.job}/"}
        while True:
            answer = self.clients.find("logs", "describe_log_streams", _NONE, **query) or {}
            yield from (stream["logStreamName"] for stream in answer.get("logStreams") or ())
            if "nextToken" not in answer:
                return
            query["nextToken"] = answer["nextToken"]

    def _lines(self, stream: str) -> Iterator[str]:
        """Yield what a stream has beyond what was shown; the same mark twice is its end, for now."""
        query = {"logGroupName": GROUP, "logStreamName": stream}
        while True:
            mark = self._marks.get(stream)
            answer = self.clients.call(
                "logs", "get_log_events", startFromHead=True, **query, **({"nextToken": mark} if mark else {})
            )
            self._marks[stream] = answer["nextForwardToken"]
            for event in answer["events"]:
                yield shown(str(event["message"])).rstrip()
            if answer["nextForwardToken"] == mark:
                return


def _machine(stream: str) -> str:
    """Return the machine of a stream, JOB/algo-1-1700000000."""
    return stream.rpartition("/")[2].rpartition("-")[0]
