"""The winner of a sweep: its recipe written out, and judged on test."""

from __future__ import annotations

import os
from dataclasses import dataclass

from embedrun.console import Console
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun.execution import Loaded, Settings, execute
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun_plugins.cli.trials.best_recipe import BestRecipe
from embedrun_plugins.cli.trials.sweep_folder import SweepFolder
from embedrun_plugins.cli.trials.swept_recipe import SweptRecipe
from embedrun_plugins.results.sweep_trials import SweepResults, SweepTrial


@dataclass(frozen=True)
class SweepWinner:
    """The trial that is best on dev, and where its recipe goes."""

    swept: SweptRecipe
    folder: SweepFolder
    recipe: BestRecipe

    def write(self, results: SweepResults, best: SweepTrial, loaded: Loaded) -> None:
        """Write the winner's recipe. Raises UserError where it cannot be written."""
        scores = f"{results.metric} {best.score:.4f} on dev"
        if best.number and results.shipped:
            scores += f", {results.shipped.score:.4f} with the shipped setting"
        self.recipe.write(loaded, f"Trial {best.number} of `embedrun sweep`: {scores}.")
        written = {**self.folder.facts.get("written", {}), str(self.recipe.file.resolve()): self.recipe.digest()}
        self.folder.change(written=written)

    def judge(self, best: SweepTrial, settings: Settings, console: Console) -> tuple[RunRecord, EmbedrunError | None]:
        """Score the winner on test as an ordinary run of its recipe, which reuses its training; deploy nothing."""
        if earlier := self._judged(best):
            return earlier, None
        loaded = Loaded.read(self.recipe.file, {"deployer": "[]", "runtime": "null"})
        plan = loaded.plan(settings)
        trained = [step for step in plan.forecast(Store(settings.store_folder)) if step.kind in ("trainer", "merge")]
        if not all(step.stored for step in trained):
            raise StageError(
                f"the model of trial {best.number} is not in the store any more; remove the sweep's folder"
            )
        record, stopped = execute(loaded, settings, console)
        judged = self.folder.facts.get("judged", [])
        self.folder.change(
            judged=[*judged, {"trial": best.number, "run": os.path.relpath(record.folder, self.folder.path)}]
        )
        return record, stopped

    def _judged(self, best: SweepTrial) -> RunRecord | None:
        """Return the run that judged the same winner before, if there is one."""
        for judged in reversed(self.folder.facts.get("judged", [])):
            if judged["trial"] == best.number:
                try:
                    record = RunRecord.read(self.folder.path / judged["run"])
                except UserError:
                    return None
                return record if record.status == "done" else None
        return None

    @property
    def winners_judged(self) -> int:
        """How many trials the test split has been used on."""
        return len({judged["trial"] for judged in self.folder.facts.get("judged", [])})
