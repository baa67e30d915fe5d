"""When training stops for a checkpoint."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from embedrun_plugins.trainers import processes


class Pacing(TrainerCallback):
    """Lets checkpoints be no closer than `seconds`, and the loss be logged wherever one could be made.

    transformers' running mean of the loss is not in its checkpoints; where it was just logged, there is none to lose.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        del args, state
        return self._paced(control)

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        del args, state
        return self._paced(control)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        del args, state
        self.last = time.monotonic()
        return control

    def _paced(self, control: TrainerControl) -> TrainerControl:
        control.should_log = control.should_log or control.should_save or control.should_evaluate
        if control.should_save:
            # All processes must agree, or they would wait for each other for ever.
            control.should_save = processes.agreed(answer=time.monotonic() - self.last >= self.seconds)
        return control
