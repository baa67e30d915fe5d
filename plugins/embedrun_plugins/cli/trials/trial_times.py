"""How long trials take, and whether the budget has room for another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from embedrun.record import RunRecord
from embedrun_plugins.cli.trials.sweep_folder import SweepFolder

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

_START = 10.0
"""Seconds that a process takes to begin, where none was seen to yet."""


@dataclass(frozen=True)
class TrialTimes:
    """What a sweep knows of its time, in seconds."""

    longest: float
    """Of the trials that were done; 0 where none was."""
    judging: float
    """What the winner's scores on test are expected to take."""
    left: float | None
    """Of the budget; None where there is none."""

    @classmethod
    def of(cls, folder: SweepFolder, trials: Sequence[FrozenTrial], budget: float | None) -> TrialTimes:
        done = [trial for trial in trials if trial.state.name == "COMPLETE" and "seconds" in trial.user_attrs]
        longest = max((float(trial.user_attrs["seconds"]) for trial in done), default=0.0)
        judging = max((_judging(folder, trial) for trial in done[:1]), default=0.0)
        return cls(longest, judging, None if budget is None else budget - folder.spent)

    def has_room(self) -> bool:
        """Say whether another trial, and the winner's scores after it, can be expected to end within the budget."""
        return self.left is None or self.left >= self.longest + self.judging

    def is_over(self) -> bool:
        """Say whether running trials must end, so that the winner can be scored within the budget."""
        return self.left is not None and self.left <= self.judging


def _judging(folder: SweepFolder, trial: FrozenTrial) -> float:
    """Expect test to take as long as dev did in the first trial, which scored the base, too."""
    record = RunRecord.read(folder.path / str(trial.user_attrs["run"]))
    stages = list(record.stages())
    scoring = sum(stage.seconds for stage in stages if stage.kind == "evaluator")
    begun = float(trial.user_attrs["seconds"]) - sum(stage.seconds for stage in stages)
    return scoring + max(_START, begun)
