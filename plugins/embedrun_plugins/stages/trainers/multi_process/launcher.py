"""Fine-tuning with sentence-transformers in several processes, seen from the one that starts them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch

from embedrun.errors import StageError, UserError
from embedrun_plugins.services.distributed.launch import Launch, Start
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.stages.trainers.multi_process import job
from embedrun_plugins.stages.trainers.training_arguments import on_cpu

if TYPE_CHECKING:
    from embedrun.artifacts import Model
    from embedrun.context import Context
    from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining

_WORKER = "embedrun_plugins.stages.trainers.multi_process.worker"


def train(training: SentenceTransformersTraining) -> Model:
    """Train in as many processes as the options say, on this machine and on those that `Nodes.here()` names.

    Raises UserError where there are not so many GPUs, and whatever error the processes report.
    """
    ctx, nodes = training.ctx, Nodes.here()
    here = nodes.share(training.options.processes)
    require_devices(here, ctx.device)
    with TemporaryDirectory(prefix="embedrun-") as name:
        folder = Path(name).resolve()
        job.MultiProcessJob.of(training).lay_down(folder, training)
        start = Start(_WORKER, job.FILE, here, "training", ctx.offline)
        Launch(folder, start, ctx.state / "training.log", nodes).run(partial(_pass_on, ctx))
    if not (ctx.out / "training_history.json").exists():
        raise StageError("the training processes ended without a model")
    ctx.note("processes", training.options.processes)
    return training.result


def require_devices(processes: int, device: str | None) -> None:
    """Raise UserError where so many processes of one machine would have to share its GPUs."""
    seen = 0 if on_cpu(device) else torch.cuda.device_count()
    if seen and processes > seen:
        raise UserError(f"trainer.processes: {processes} processes need as many GPUs, but torch sees {seen} here")


def _pass_on(ctx: Context, name: str, values: Mapping[str, Any]) -> None:
    """Pass a process's event on to the run."""
    match name:
        case "event":
            ctx.event(values["name"], **values["values"])
        case "note":
            ctx.note(values["name"], values["value"])
        case "warning":
            ctx.warn(values["message"])
        case "progress":
            ctx.progress(values["label"], values["done"], values["total"])
