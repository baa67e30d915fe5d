"""The machines that train together, where there are several: the first one does all else, and hands out the job."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedrun.errors import UserError

VARIABLE = "EMBEDRUN_NODES"
"""Says which machines train together; set by who starts embedrun on each of them, such as `sagemaker-train`."""
_PATIENCE = 3600
"""Seconds that a machine waits for the others, which fetch data and model from the first one before they join."""


@dataclass(frozen=True)
class Nodes:
    """How many machines train together, and which of them this one is."""

    count: int = 1
    rank: int = 0
    address: str = ""
    """The first machine, as the others reach it."""
    port: int = 0
    """Where the processes of all machines find each other."""
    outbox: str = ""
    """Folder on the first machine, in which each job is laid down for the others."""

    @classmethod
    def here(cls) -> Nodes:
        """Return what the environment says; without a word from it, this machine trains alone."""
        return cls(**json.loads(os.environ.get(VARIABLE) or "{}"))

    def environment(self) -> dict[str, str]:
        return {VARIABLE: json.dumps(asdict(self))}

    def share(self, processes: int) -> int:
        """Return the processes of each machine. Raises UserError where they cannot be the same number."""
        if processes % self.count:
            raise UserError(
                f"trainer.processes: {processes} processes cannot be shared by {self.count} machines; "
                f"set a multiple of {self.count}"
            )
        return processes // self.count

    def arguments(self) -> list[str]:
        """Return torchrun's arguments."""
        if self.count == 1:
            return ["--standalone", "--local-addr=127.0.0.1"]
        return [
            *(f"--nnodes={self.count}", f"--node-rank={self.rank}"),
            *(f"--master-addr={self.address}", f"--master-port={self.port}", f"--rdzv-conf=timeout={_PATIENCE}"),
        ]

    def hand_out(self, folder: Path, job: Mapping[str, Any]) -> None:
        """Lay a job's folder down for the other machines, if there are any and this is the first."""
        if not self.outbox:
            return
        outbox = Path(self.outbox)
        file = outbox / f"{len(handed_out(outbox))}.json"
        scratch = file.with_suffix(".part")
        scratch.write_text(json.dumps({"folder": str(folder), "job": dict(job)}), "utf-8")
        scratch.rename(file)


def handed_out(outbox: Path) -> list[dict[str, Any]]:
    """Return the jobs that were laid down so far: the folder of each, and how it is started."""
    files = sorted(outbox.glob("*.json"), key=lambda file: int(file.stem))
    return [json.loads(file.read_text("utf-8")) for file in files]
