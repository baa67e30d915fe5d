"""The loss since it was last logged, and the order of an epoch's batches, as a training goes on from a checkpoint.

transformers' checkpoints hold no such loss: planned ones are made where it was just logged, but one that SIGTERM asks
for may be made anywhere. And where it skips batches of several processes, it does not tell their sampler the epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from transformers import TrainerCallback, TrainerControl, TrainerState

from embedrun_plugins.services.distributed import collectives


class Resumed(Protocol):
    """A trainer of transformers that knows which checkpoint it goes on from."""

    args: Any
    goes_on_from: Path | None


def save_running_loss(trainer: Any, checkpoint: Path) -> None:
    """Write each process's sum of losses, and the step that it begins after, into a checkpoint."""
    values = {"loss": trainer._tr_loss.item(), "logged": trainer._globalstep_last_logged}  # noqa: SLF001 - there is no other way to it
    checkpoint.mkdir(parents=True, exist_ok=True)
    file = _file(checkpoint, trainer.args)
    file.write_text(json.dumps(values), "utf-8")
    collectives.gather_file(file)


def epoch_of(state: TrainerState) -> int:
    """Return the epoch that begins or goes on, counted from 0."""
    return int(state.epoch or 0)


def _file(checkpoint: Path, args: Any) -> Path:
    return checkpoint / f"running_loss_{args.process_index}.json"


class Restoring(TrainerCallback):
    """Takes the sum up where training goes on, and the order of an epoch's batches."""

    def __init__(self, trainer: Resumed) -> None:
        self.trainer = trainer

    def on_train_begin(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del state, control
        trainer: Any = self.trainer
        file = _file(trainer.goes_on_from, args) if trainer.goes_on_from else None
        if file and file.exists():
            values = json.loads(file.read_text("utf-8"))
            trainer._tr_loss = torch.tensor(values["loss"], device=args.device)  # noqa: SLF001 - as above
            trainer._globalstep_last_logged = values["logged"]  # noqa: SLF001 - as above

    def on_epoch_begin(self, args: Any, state: TrainerState, control: TrainerControl, **values: Any) -> None:
        """Tell the sampler the epoch."""
        del args, control
        sampler: Any = getattr(values.get("train_dataloader"), "batch_sampler", None)
        while (inner := getattr(sampler, "batch_sampler", None)) is not None:
            sampler = inner
        if hasattr(sampler, "set_epoch"):
            sampler.set_epoch(epoch_of(state))
