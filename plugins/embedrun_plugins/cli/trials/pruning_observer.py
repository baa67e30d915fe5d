"""Tells Optuna how a training goes, and ends one that Optuna gives up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from embedrun import hookimpl

if TYPE_CHECKING:
    from optuna.trial import Trial

    from embedrun.finished import Finished
    from embedrun.record import RunRecord

STEPS = "steps"
"""Under which a trial keeps the optimizer steps of its evaluations, so that one that is told twice counts once."""


class PrunedError(KeyboardInterrupt):
    """Ends a run as its user would."""


class PruningObserver:
    """Reports the dev scores of a trial's first training; evaluations are numbered, as steps differ between trials."""

    def __init__(self, trial: Trial, evaluator: str, *, may_prune: bool) -> None:
        self.trial = trial
        self.evaluator = evaluator
        self.may_prune = may_prune
        self.over = False

    @hookimpl
    def embedrun_event(self, run: RunRecord, name: str, values: Mapping[str, Any]) -> None:
        metric = next(iter(run.headlines.get(self.evaluator, ())), None)
        value = values.get(f"eval_{metric}", values.get(str(metric)))
        if name != "evaluation" or self.over or not isinstance(value, (int, float)):
            return
        steps = list(self.trial.user_attrs.get(STEPS, []))
        if values.get("step") not in steps:
            steps.append(values.get("step"))
            self.trial.set_user_attr(STEPS, steps)
            self.trial.report(value, len(steps))
        if self.may_prune and self.trial.should_prune():
            raise PrunedError(f"pruned at step {values.get('step')}: {metric} {value:.4f} on dev")

    @hookimpl
    def embedrun_stage_finished(self, run: RunRecord, stage: Finished) -> None:
        del run
        self.over = self.over or stage.slot == "trainer"
