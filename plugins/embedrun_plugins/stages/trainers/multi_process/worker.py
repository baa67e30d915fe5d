"""One of several processes that fine-tune with sentence-transformers together."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import distributed

from embedrun.context import Context
from embedrun.errors import EmbedrunError, UserError
from embedrun_plugins.services.distributed import collectives
from embedrun_plugins.services.distributed.event_lines import tell
from embedrun_plugins.services.distributed.launch import STOP
from embedrun_plugins.services.distributed.parent import end_with_parent
from embedrun_plugins.stages.trainers.multi_process.job import Job


def context(job: Job, folder: Path) -> Context:
    """Return what the training may know of the run; the first process tells what it reports."""
    quiet = Context(Path(job.out), folder / "state", seed=job.seed, device=job.device, offline=job.offline)
    if os.environ["RANK"] != "0":
        return replace(quiet, out=folder / "out")

    def event(name: str, values: Mapping[str, Any]) -> None:
        tell("event", name=name, values=dict(values))

    return replace(
        quiet,
        on_note=lambda name, value: tell("note", name=name, value=value),
        on_warning=lambda message: tell("warning", message=message),
        on_progress=lambda label, done, total: tell("progress", label=label, done=done, total=total),
        on_event=event,
    )


def main() -> None:
    end_with_parent()
    file = Path(sys.argv[1]).resolve()
    folder = file.parent
    try:
        job = Job.read(file)
        training = job.training(folder, context(job, folder))
        replace(training, asked=(folder / STOP).exists).run()
    except KeyboardInterrupt:
        tell("stopped")
    except Exception as error:
        explained = isinstance(error, EmbedrunError)
        tell(
            "error",
            type=type(error).__name__,
            message=str(error),
            explained=explained,
            user=isinstance(error, UserError),
        )
        raise
    if collectives.together():
        distributed.destroy_process_group()


if __name__ == "__main__":
    main()
