"""One of several processes that fine-tune with sentence-transformers together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from embedrun.context import Context
from embedrun_plugins.services.distributed.launch import STOP
from embedrun_plugins.services.distributed.parent_process import run_worker, write_event
from embedrun_plugins.stages.trainers.multi_process.job import MultiProcessJob


def context(job: MultiProcessJob, folder: Path) -> Context:
    """Return what the training may know of the run; only the first process reports."""
    quiet = Context(Path(job.out), folder / "state", seed=job.seed, device=job.device, offline=job.offline)
    if os.environ["RANK"] != "0":
        return replace(quiet, out=folder / "out")

    def event(name: str, values: Mapping[str, Any]) -> None:
        write_event("event", name=name, values=dict(values))

    return replace(
        quiet,
        on_note=lambda name, value: write_event("note", name=name, value=value),
        on_warning=lambda message: write_event("warning", message=message),
        on_progress=lambda label, done, total: write_event("progress", label=label, done=done, total=total),
        on_event=event,
    )


def main() -> None:
    file = Path(sys.argv[1]).resolve()
    folder = file.parent
    job = MultiProcessJob.read(file)
    training = job.training(folder, context(job, folder))
    replace(training, stop_requested=(folder / STOP).exists).run()


if __name__ == "__main__":
    run_worker(main)
