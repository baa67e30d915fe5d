"""What a sweep will cost, before it begins: which stages are there already, and how long a trial takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from embedrun.artifacts import RetrievalSet
from embedrun.errors import UserError
from embedrun.finished import Finished
from embedrun.plan import Plan
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun_plugins.cli.console import table
from embedrun_plugins.cli.trials.swept_recipe import SweptRecipe, scored_on_dev, value_at, without_test
from embedrun_plugins.results.phrases import duration

_OF_TRIALS = ("trainer", "merge")


@dataclass(frozen=True)
class SweepForecast:
    """A sweep that has not begun, or goes on."""

    swept: SweptRecipe
    plan: Plan
    """Of the recipe as it is, scored on dev."""
    store: Store
    runs: Path
    trials: int
    done: int
    seconds: float
    """What a trial of this sweep took at most; 0 where none was done."""
    at_once: int = 1

    def text(self) -> str:
        dumped = self.swept.loaded.recipe.dump()
        tried = [[p.key, p.described(), _shown(value_at(dumped, p.key))] for p in self.swept.space.parameters]
        parts = [table(["tried", "values", "shipped"], tried, left=True), self._stages(), "\n".join(self._costs())]
        return "\n\n".join(parts)

    def _stages(self) -> str:
        rows = []
        sets: dict[str, RetrievalSet] = {}
        for step, known in zip(self.plan.steps, self.plan.forecast(self.store), strict=True):
            if known.stored and (known.stored.out / "corpus.jsonl").exists():
                sets[step.slot] = RetrievalSet(known.stored.out)
            shared = not self._is_of_a_trial(step.slot)
            status = "cached" if known.stored else "once" if shared else "in each trial"
            takes = {} if known.stored or step.compares else step.forecast(sets.get(step.needs.get("data", "")))
            rows.append([step.slot, step.stage.type, status, ", ".join(f"{k} {v}" for k, v in takes.items())])
        return table(["stage", "type", "to run", ""], rows, left=True)

    def _is_of_a_trial(self, slot: str) -> bool:
        """Say whether a step's result differs between trials: what a swept key configures, and all that follows it."""
        kinds = {parameter.key.partition(".")[0] for parameter in self.swept.space.parameters}
        after = ["source", "generator", "filters", "negatives", *_OF_TRIALS]
        if "model" in kinds or slot.partition(".")[0] in _OF_TRIALS:
            return slot.partition(".")[0] not in ("source", "generator", "filters")
        if slot.startswith("evaluator") and not slot.endswith(".base"):
            return True
        first = slot.partition(".")[0]
        return first in kinds and first in after

    def _costs(self) -> Iterator[str]:
        left = max(0, self.trials - self.done)
        yield f"trials: {self.trials}, of which {self.done} are done; {self.at_once} at once"
        seconds, source = (self.seconds, "the longest of this sweep so far") if self.seconds else self._earlier()
        if not seconds:
            yield "time: not known until a trial has run; the sweep begins with the recipe as it is, and tells then"
            return
        total = seconds * -(-left // self.at_once)
        yield f"time: about {duration(seconds)} a trial ({source}), {duration(total)} for {left} trials"
        yield "then: the winner's scores on test, and those of the base"

    def _earlier(self) -> tuple[float, str]:
        """Return how long an earlier run of the recipe trained, scored and merged."""
        folders = sorted((self.runs / self.swept.loaded.recipe.name).glob("*/run.json"), reverse=True)
        for file in folders:
            try:
                stages = list(RunRecord.read(file.parent).stages())
            except UserError:
                continue
            if any(_was_run(stage) and stage.slot == "trainer" for stage in stages):
                seconds = sum(stage.seconds for stage in stages if _was_run(stage) and _is_a_trials(stage))
                return seconds, f"the run {file.parent.name}, which may have had other settings"
        return 0.0, ""


def _was_run(stage: Finished) -> bool:
    return not stage.cached and not stage.error


def _is_a_trials(stage: Finished) -> bool:
    return stage.kind in (*_OF_TRIALS, "evaluator") and not stage.slot.endswith(".base")


def _shown(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def forecast_plan(swept: SweptRecipe, plan: Plan) -> Plan:
    """Return the plan of a trial with the recipe's own values."""
    from embedrun.steps import make_plan

    recipe = scored_on_dev(swept.loaded, swept.loaded.recipe.name).recipe
    return without_test(make_plan(recipe, plan.base, plan.owner_of, plan.files, None))
