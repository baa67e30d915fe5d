"""When training stops for a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState

from embedrun_plugins.services.distributed import collectives


class CheckpointInterval(TrainerCallback):
    """Lets checkpoints be no closer than `seconds`, and the loss be logged wherever one could be made.

    transformers' running mean of the loss is not in its checkpoints; where it was just logged, there is none to lose.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, state
        control.should_log = control.should_log or control.should_save or control.should_evaluate
        if control.should_save:
            # All processes must agree, or they would wait for each other for ever.
            control.should_save = collectives.broadcast(answer=time.monotonic() - self.last >= self.seconds)

    on_epoch_end = on_step_end

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, state, control
        self.last = time.monotonic()


class EarlyEnd(TrainerCallback):
    """Ends a training with a checkpoint when that is requested; must come after all that decides whether to save."""

    def __init__(self, requested: Callable[[], bool]) -> None:
        self.requested = requested
        self.stopping = False
        self.due = False

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args
        # All save the same step, though a signal does not reach all machines in the same one.
        self.stopping = collectives.any_process(answer=self.requested())
        # What is logged and judged at an epoch's end would be missed by a training that goes on from its last step.
        epoch_ends = control.should_training_stop or control.should_epoch_stop or _is_whole(state.epoch or 0)
        self.due = self.stopping and not epoch_ends
        control.should_save = control.should_save or self.due

    def on_epoch_end(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, state
        self.due = self.stopping
        control.should_save = control.should_save or self.due

    def on_save(self, args: Any, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        del args, state, control
        if self.due:
            raise KeyboardInterrupt


def _is_whole(epoch: float) -> bool:
    return abs(epoch - round(epoch)) < 1e-6  # noqa: PLR2004 - rounding
