"""One trial in a process of its own: an ordinary run of its recipe, scored on dev."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from embedrun.engine import Engine
from embedrun.errors import INTERRUPTED, EmbedrunError, printable
from embedrun.execution import Execution, Loaded, Settings
from embedrun.plan import Plan
from embedrun.record import RunRecord
from embedrun.store import Store
from embedrun_plugins.cli.trials import optuna_study
from embedrun_plugins.cli.trials.pruning_observer import PrunedError, PruningObserver
from embedrun_plugins.cli.trials.swept_recipe import dev_name, scored_on_dev, trains_elsewhere, without_test
from embedrun_plugins.services.distributed.parent_process import end_with_parent
from embedrun_plugins.services.plain_console import PlainConsole

JOURNAL = "study.journal"
PRUNED = "pruned"
"""What a pruned run's error begins with."""


@dataclass(frozen=True)
class TrialTask:
    """What a trial's process is given."""

    recipe: str
    overrides: dict[str, Any]
    number: int
    folder: str
    """The sweep's."""
    store: str
    pruner: str
    offline: bool = False
    device: str | None = None

    def written(self) -> str:
        return json.dumps(asdict(self))

    @property
    def name(self) -> str:
        return f"trial-{self.number}"


def carry_out(task: TrialTask) -> None:
    """Run a trial. Raises PrunedError where Optuna gives it up, EmbedrunError where it fails."""
    loaded = scored_on_dev(Loaded.read(task.recipe, task.overrides), task.name)
    settings = Settings(runs=Path(task.folder), store=Path(task.store), offline=task.offline, device=task.device)
    loaded.require()
    plan, store = loaded.plan(settings), Store(settings.store_folder)
    record, console = _begin(loaded, plan, settings), PlainConsole(sys.stdout)
    if trains_elsewhere(plan.recipe):
        _train_elsewhere(loaded, plan, store, record, settings, console)
    study = optuna_study.open_study(Path(task.folder) / JOURNAL, pruner=task.pruner)
    trial = optuna_study.trial_of(study, task.number)
    may_prune = task.number != 0 and task.pruner != "none"
    loaded.registry.hooks.register(PruningObserver(trial, dev_name(plan.recipe), may_prune=may_prune))
    hooks, record = loaded.registry.hooks, RunRecord.read(record.folder)
    try:
        Engine(without_test(plan), store, record, console, hooks, task.device, task.offline).run()
    except PrunedError as pruned:
        record.change(error=str(pruned))
        raise


def _begin(loaded: Loaded, plan: Plan, settings: Settings) -> RunRecord:
    owners = {stage.type: str(plan.owner_of(stage)) for _, stage in plan.recipe.stages()}
    plugins = [loaded.path.parent / name for name in plan.recipe.plugins]
    return RunRecord.begin(settings.runs, plan.recipe.dump(), loaded.written, settings.store_folder, owners, plugins)


def _train_elsewhere(
    loaded: Loaded, plan: Plan, store: Store, record: RunRecord, settings: Settings, console: PlainConsole
) -> None:
    """Have the recipe's runtime make the model, which is scored here. Raises StageError where that fails."""
    runtime = plan.recipe.runtime
    last = max(index for index, step in enumerate(plan.steps) if step.slot.partition(".")[0] in ("trainer", "merge"))
    training = replace(plan, steps=plan.steps[: last + 1])
    until = replace(settings, until=training.steps[-1].slot)
    execution = Execution(loaded, training, store, record.folder, until, console)
    if runtime and execution.job().left():
        execution.elsewhere(runtime)
    if execution.stopped:
        raise execution.stopped


def main() -> int:
    """Carry out the trial that standard input describes; return 0 where it is done, 130 where it was ended."""
    task = TrialTask(**json.load(sys.stdin))
    end_with_parent()
    for name in (signal.SIGINT, signal.SIGTERM):  # which a shell may have this process ignore
        signal.signal(name, signal.default_int_handler)
    try:
        carry_out(task)
    except KeyboardInterrupt as ended:
        print(printable(str(ended) or "interrupted"), flush=True)
        return INTERRUPTED
    except EmbedrunError as error:
        print(printable(str(error)), flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
