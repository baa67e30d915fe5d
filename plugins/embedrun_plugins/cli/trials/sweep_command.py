"""`embedrun sweep`, from what was typed to the winner's verdict."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from embedrun import yamlfile
from embedrun.errors import INTERRUPTED, EmbedrunError, RecipeError, UserError
from embedrun.execution import Settings
from embedrun.hashing import value_digest
from embedrun.plan import Plan
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun_plugins.cli import console as terminal
from embedrun_plugins.cli.arguments import settings_of
from embedrun_plugins.cli.console import say
from embedrun_plugins.cli.score_tables import report, short
from embedrun_plugins.cli.trials import optuna_study, sweep_tables
from embedrun_plugins.cli.trials.best_recipe import BestRecipe
from embedrun_plugins.cli.trials.devices import Devices
from embedrun_plugins.cli.trials.search_space import SearchSpace
from embedrun_plugins.cli.trials.sweep_folder import SweepFolder
from embedrun_plugins.cli.trials.sweep_forecast import SweepForecast, forecast_plan
from embedrun_plugins.cli.trials.sweep_run import SweepOptions, SweepRun, is_counted
from embedrun_plugins.cli.trials.sweep_winner import SweepWinner
from embedrun_plugins.cli.trials.swept_recipe import SweptRecipe, trains_elsewhere, value_at
from embedrun_plugins.cli.trials.trial_times import TrialTimes
from embedrun_plugins.results.phrases import duration
from embedrun_plugins.results.report import sweep_report
from embedrun_plugins.results.sweep_trials import SweepResults, SweepTrial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_STATES = {"COMPLETE": "done", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "interrupted"}


@dataclass(frozen=True)
class SweepCommand:
    """A sweep as it was asked for."""

    arguments: Namespace
    swept: SweptRecipe
    settings: Settings

    @classmethod
    def of(cls, arguments: Namespace) -> SweepCommand:
        """Read what was typed, and the recipe with it. Raises UserError, with the column, for what is wrong."""
        optuna_study.require()
        space = SearchSpace.parse(arguments.settings)
        if arguments.on:
            space.fixed["runtime.type"] = arguments.on
        if not space.parameters:
            raise UserError(
                "nothing to try; give a range or a list, as in --set 'trainer.learning_rate=1e-5..1e-4 log'"
            )
        swept = SweptRecipe.read(arguments.recipe, space, prunes=arguments.pruner != "none")
        return cls(arguments, swept, settings_of(arguments))

    @cached_property
    def trial_plan(self) -> Plan:
        return forecast_plan(self.swept, self.swept.loaded.plan(self.settings))

    @cached_property
    def identity(self) -> str:
        """What makes it the same sweep: recipe, data, base model, versions, and what is tried."""
        recipe_plan, registry = self.swept.loaded.plan(self.settings), self.swept.loaded.registry
        inputs = [path for _, stage in recipe_plan.recipe.stages() for path in stage.inputs()]
        work = recipe_plan.digest(inputs, registry.local_models(), None, None)
        return value_digest([work, {p.key: p.described() for p in self.swept.space.parameters}])

    @property
    def name(self) -> str:
        return self.swept.loaded.recipe.name

    @property
    def devices(self) -> Devices:
        recipe = self.swept.loaded.recipe
        elsewhere = trains_elsewhere(recipe) or self.arguments.device is not None
        return Devices.choose(self.arguments.parallel, getattr(recipe.trainer, "processes", 1), elsewhere=elsewhere)

    def plan(self) -> int:
        folder = SweepFolder.find(self.settings.runs, self.name, self.identity)
        done, seconds = 0, 0.0
        if folder and folder.journal.exists():
            trials = optuna_study.frozen(optuna_study.open_study(folder.journal))
            done = sum(is_counted(trial) and trial.state.is_finished() for trial in trials)
            seconds = TrialTimes.of(folder, trials, None).longest
        at_once, store = self.devices.count, Store(self.settings.store_folder)
        say(
            SweepForecast(
                self.swept, self.trial_plan, store, self.settings.runs, self.arguments.trials, done, seconds, at_once
            ).text()
        )
        return 0

    def run(self) -> int:
        described = {p.key: p.described() for p in self.swept.space.parameters}
        folder = SweepFolder.begin(self.settings.runs, self.name, self.identity, described)
        with folder.session():
            winner = SweepWinner(self.swept, folder, BestRecipe(self.arguments.write, folder.facts.get("written", {})))
            winner.recipe.require_free()
            sweep = SweepRun(self.swept, folder, self._options(), self.devices, terminal.console().say)
            self._tell_state(folder, sweep)
            try:
                sweep.run()
            except KeyboardInterrupt:
                say(sweep_tables.tables(self._results(folder, sweep)))
                terminal.console().say("interrupted; run the same command again to go on")
                return INTERRUPTED
            except EmbedrunError:
                sweep_report.write(self._results(folder, sweep), None)
                raise
            self._tell_end(sweep)
            return self._conclude(folder, sweep, winner)

    def _conclude(self, folder: SweepFolder, sweep: SweepRun, winner: SweepWinner) -> int:
        """Write the winner's recipe, judge it, and show everything."""
        results, record, stopped = self._results(folder, sweep), None, None
        best = results.best
        if best:
            trial = optuna_study.frozen(sweep.study)[best.number]
            winner.write(results, best, self.swept.read_trial(sweep.params(trial)))
            record, stopped = winner.judge(best, self.settings, terminal.console())
            folder.beat(at_once=True)
            results = self._results(folder, sweep)
        sweep_report.write(results, record, winner.winners_judged)
        self._show(results, record, winner, stopped)
        return stopped.exit_code if stopped else 0 if best else 1

    def _show(
        self, results: SweepResults, record: RunRecord | None, winner: SweepWinner, stopped: EmbedrunError | None
    ) -> None:
        if not self.arguments.json:
            say(sweep_tables.tables(results))
        if record and not self.arguments.json:
            looked = winner.winners_judged
            again = f"; {looked} winners of this sweep have been judged on it" if looked > 1 else ""
            say(f"\nthe winner on test{again}:\n{report(record)}")
        console = terminal.console()
        if stopped:
            console.say(str(stopped))
        if record:
            console.say(f"its run: {short(record.folder)}")
            console.say(f"its recipe: {winner.recipe.file} (embedrun {winner.recipe.file} reuses its training)")
        console.say(f"report: {short(results.folder)}/report.html")
        if self.arguments.json:
            judged = record and {"run": str(record.folder), "scores": record.scores, "comparisons": record.comparisons}
            print(json.dumps({**sweep_tables.as_json(results), "test": judged}))

    def _options(self) -> SweepOptions:
        arguments = self.arguments
        return SweepOptions(
            trials=arguments.trials,
            budget=arguments.budget,
            sampler=arguments.sampler,
            pruner=arguments.pruner,
            store=self.settings.store_folder,
            offline=arguments.offline,
            device=arguments.device,
        )

    def _tell_state(self, folder: SweepFolder, sweep: SweepRun) -> None:
        console, counted = terminal.console(), [t for t in optuna_study.frozen(sweep.study) if is_counted(t)]
        finished = sum(trial.state.is_finished() for trial in counted)
        if counted:
            console.say(
                f"going on with {short(folder.path)}: {finished} of {self.arguments.trials} trials are done, "
                f"{duration(folder.spent)} were used"
            )
        else:
            console.say(f"sweep {short(folder.path)}: {self.arguments.trials} trials")
        if self.swept.added:
            added = ", ".join(f"{key}={value}" for key, value in self.swept.added.items())
            console.say(f"every trial has {added}, so that it can be pruned by its dev scores")

    def _tell_end(self, sweep: SweepRun) -> None:
        reasons = {
            "budget": "the budget has no room for another trial; a larger --budget goes on from here",
            "space": "every setting was tried",
        }
        if reason := reasons.get(sweep.over):
            terminal.console().say(reason)

    def _results(self, folder: SweepFolder, sweep: SweepRun) -> SweepResults:
        return results_of(self.swept, folder, sweep.study, self.arguments.budget)


def results_of(swept: SweptRecipe, folder: SweepFolder, study: Study, budget: float | None) -> SweepResults:
    """Read what a sweep found so far."""
    trials = [_trial(swept, trial) for trial in optuna_study.frozen(study) if is_counted(trial)]
    importances = optuna_study.importances(study)
    return SweepResults(
        name=swept.loaded.recipe.name,
        folder=folder.path,
        metric=str(folder.facts.get("metric") or ""),
        trials=trials,
        importances=importances,
        tries=folder.facts["tries"],
        spent=folder.spent,
        budget=budget,
    )


def _trial(swept: SweptRecipe, trial: FrozenTrial) -> SweepTrial:
    shipped = swept.loaded.recipe.dump()
    values = {key: _read(value) for key, value in swept.space.overrides(dict(trial.params)).items()}
    if trial.number == 0:
        values = {parameter.key: value_at(shipped, parameter.key) for parameter in swept.space.parameters}
    facts = trial.user_attrs
    state = _STATES[trial.state.name]
    last = [value for _, value in optuna_study.steps_of(trial)][-1:]
    score = trial.value if state == "done" else last[0] if state == "pruned" and last else None
    return SweepTrial(
        trial.number, state, values, score, facts.get("seconds"), facts.get("reason", ""), facts.get("run", "")
    )


def _read(value: Any) -> Any:
    """Return the number or word that a listed value stands for; what is more than that stays as it was typed."""
    if not isinstance(value, str):
        return value
    try:
        read = yamlfile.parse(f"value: {value}", "--set").data["value"]
    except RecipeError:
        return value
    return read if isinstance(read, (bool, int, float, str)) else value
