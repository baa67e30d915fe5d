"""A sweep under way: which trial is next, which of them run, and when there is no time for another."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from embedrun.errors import EmbedrunError, StageError
from embedrun_plugins.cli.trials import optuna_study
from embedrun_plugins.cli.trials.devices import Devices
from embedrun_plugins.cli.trials.running_trial import RunningTrial
from embedrun_plugins.cli.trials.sweep_folder import SweepFolder
from embedrun_plugins.cli.trials.swept_recipe import SweptRecipe
from embedrun_plugins.cli.trials.trial_process import TrialTask
from embedrun_plugins.cli.trials.trial_times import TrialTimes

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_POLL = 0.2
_MOST_REPEATS = 50
"""Draws of a setting that was tried already before there are taken to be no others."""
_MOST_FAILURES = 3
HIDDEN = "hidden"
"""Marks what Optuna counts as a trial, but never ran."""


@dataclass(frozen=True)
class SweepOptions:
    """How a sweep goes on, beside what it tries: these may change from one session to the next."""

    trials: int
    budget: float | None
    """Seconds for all sessions together."""
    sampler: str
    pruner: str
    store: Path
    offline: bool = False
    device: str | None = None


@dataclass
class SweepRun:
    """One session of a sweep."""

    swept: SweptRecipe
    folder: SweepFolder
    options: SweepOptions
    devices: Devices
    say: Callable[[str], None]
    running: list[RunningTrial] = field(default_factory=list)
    over: str = ""
    """Why no other trial begins."""

    def __post_init__(self) -> None:
        self.seed = self.swept.loaded.recipe.seed
        self.study = self._study(0)
        self.left_over = [t.number for t in optuna_study.frozen(self.study) if _state(t) == "RUNNING"]
        for trial in [t for t in optuna_study.frozen(self.study) if t.number in self.left_over and t.number]:
            if trial.params.keys() != self._keys:  # a kill came while its values were drawn
                self.left_over.remove(trial.number)
                self._hide(trial.number)
        self.failures = 0

    def run(self) -> None:
        """Carry out trials until there are enough, the budget ends, or nothing new is left to try.

        Raises StageError where the recipe's own setting fails, or trial after trial does.
        """
        self._enqueue()
        try:
            while self._step():
                time.sleep(_POLL)
        except BaseException:
            self._end()
            raise

    def _step(self) -> bool:
        """Take up what ended, start what can start; return whether anything is left to wait for."""
        self.folder.beat()
        for trial in [trial for trial in self.running if trial.ended()]:
            self.running.remove(trial)
            self._take_up(trial)
        while not self.over and len(self.running) < self.devices.count and (task := self._next()):
            self._start(task)
        if self.running and self._times().is_over():
            self.over = "budget"
            self._end()
        return bool(self.running)

    def _start(self, task: TrialTask) -> None:
        slot = min(set(range(self.devices.count)) - {trial.slot for trial in self.running})
        values = ", ".join(f"{key} {value}" for key, value in task.overrides.items() if key in self._keys)
        self.say(f"trial {task.number}: {values or 'the recipe as it is'}")
        self.running.append(RunningTrial(task, self.say, self.devices.environment(slot), slot))

    @property
    def _keys(self) -> set[str]:
        return {parameter.key for parameter in self.swept.space.parameters}

    def _times(self) -> TrialTimes:
        return TrialTimes.of(self.folder, optuna_study.frozen(self.study), self.options.budget)

    def _next(self) -> TrialTask | None:
        """Return the next trial, None where none is to begin."""
        counted = [t for t in optuna_study.frozen(self.study) if is_counted(t)]
        if not self.left_over and len(counted) >= self.options.trials:
            self.over = "trials"
            return None
        if not self._times().has_room():
            self.over = "budget"
            return None
        if self.left_over:
            return self._task(self.left_over.pop(0))
        for _ in range(_MOST_REPEATS):
            number = self._ask()
            if not self._repeats(number):
                return self._task(number)
        self.over = "space"
        return None

    def _task(self, number: int) -> TrialTask | None:
        """Return what a trial's process is given; a trial whose values do not go together fails at once."""
        params = self.params(optuna_study.frozen(self.study)[number])
        try:
            self.swept.read_trial(params)
        except EmbedrunError as error:
            self._fail(number, str(error))
            return self._next() if not self.over else None
        return TrialTask(
            recipe=self.swept.file,
            overrides=self.swept.overrides(params),
            number=number,
            folder=str(self.folder.path),
            store=str(self.options.store),
            pruner=self.options.pruner,
            offline=self.options.offline,
            device=self.options.device,
        )

    def params(self, trial: FrozenTrial) -> Mapping[str, Any]:
        """Return what a trial changes; the first one is the recipe as it is."""
        return {} if trial.number == 0 else trial.params

    def _study(self, number: int) -> Study:
        sampler = optuna_study.sampler_of(self.options.sampler, self.seed + number)
        return optuna_study.open_study(self.folder.journal, sampler, self.options.pruner)

    def _enqueue(self) -> None:
        """Have the recipe's own setting tried first, then every other one where there are no more than trials."""
        known = optuna_study.frozen(self.study)
        space, shipped = self.swept.space, dict(self.swept.shipped)
        complete = len(shipped) == len(space.parameters)
        if not known and complete:
            self.study.enqueue_trial(shipped)
        elif not known:
            self.left_over.append(self.study.ask().number)
        if space.count is None or space.count > self.options.trials:
            return
        values = [list(parameter.values()) for parameter in space.parameters]
        grid = [dict(zip(space.distributions(), params, strict=True)) for params in product(*values)]
        Random(self.seed).shuffle(grid)  # noqa: S311 - no secret depends on it
        for params in grid:
            self.study.enqueue_trial(params, skip_if_exists=True)

    def _ask(self) -> int:
        """Draw the next trial; a kill in the midst of it leaves one without all its values, which is passed over."""
        self.study.sampler = optuna_study.sampler_of(
            self.options.sampler, self.seed + len(optuna_study.frozen(self.study))
        )
        return self.study.ask(self.swept.space.distributions()).number

    def _repeats(self, number: int) -> bool:
        """Say whether a trial is one that there was already, and pass over it if so."""
        trials = optuna_study.frozen(self.study)
        values = [self.swept.space.overrides(dict(trial.params)) for trial in trials]
        earlier = [n for n in range(number) if values[n] == values[number] and not trials[n].user_attrs.get(HIDDEN)]
        if number == 0 or not earlier:
            return False
        self._hide(number)
        return True

    def _hide(self, number: int) -> None:
        optuna_study.trial_of(self.study, number).set_user_attr(HIDDEN, value=True)
        self._tell(number, "FAIL")

    def _take_up(self, ended: RunningTrial) -> None:
        """Tell Optuna how a trial went."""
        outcome, number = ended.outcome(), ended.task.number
        if outcome.state == "interrupted":
            return
        trial = optuna_study.trial_of(self.study, number)
        trial.set_user_attr("seconds", round(ended.seconds, 1))
        if outcome.run:
            trial.set_user_attr("run", str(outcome.run.relative_to(self.folder.path)))
        if outcome.state == "failed":
            self._fail(number, outcome.reason)
            return
        self.failures = 0
        if outcome.state == "pruned":
            trial.set_user_attr("reason", outcome.reason)
            self._tell(number, "PRUNED")
        else:
            self.folder.change(metric=outcome.metric)
            self.study.tell(number, outcome.value)
            self.say(f"trial {number}: {outcome.metric} {outcome.value:.4f} on dev, {ended.seconds:.0f} s")

    def _fail(self, number: int, reason: str) -> None:
        if number == 0:  # it stays open, and the next session begins with it
            raise StageError(f"the recipe as it is fails, so there is nothing to compare with: {reason}")
        optuna_study.trial_of(self.study, number).set_user_attr("reason", reason)
        self._tell(number, "FAIL")
        self.say(f"trial {number}: failed: {reason}")
        self.failures += 1
        if self.failures == _MOST_FAILURES:
            raise StageError(f"{_MOST_FAILURES} trials failed one after the other; the last one: {reason}")

    def _tell(self, number: int, state: str) -> None:
        from optuna.trial import TrialState

        self.study.tell(number, state=TrialState[state])

    def _end(self) -> None:
        """End all trials with a checkpoint, to be gone on from; those that are done by then count."""
        for trial in self.running:
            trial.stop()
        for trial in self.running:
            trial.wait()
            self._take_up(trial)
        self.running.clear()


def _state(trial: FrozenTrial) -> str:
    return str(trial.state.name)


def is_counted(trial: FrozenTrial) -> bool:
    """Say whether a trial is one of those that were wanted: begun, and no repetition of another."""
    return _state(trial) != "WAITING" and not trial.user_attrs.get(HIDDEN)
