"""The run itself, in a process of its own: what happens to it, the container's first process lives to tell.

`python -m embedrun_plugins.services.sagemaker.container.run_recipe PREFIX SCRATCH`; says how it ended in
`SCRATCH/outcome.json`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun import RunRecord, Settings
from embedrun.errors import EmbedrunError, UserError
from embedrun.execution import Loaded, execute
from embedrun_plugins.services.distributed.parent_process import end_with_parent
from embedrun_plugins.services.plain_console import PlainConsole
from embedrun_plugins.services.sagemaker.container.channels import Chosen, choose, import_results, sent_models
from embedrun_plugins.services.sagemaker.container.contract import Container, JobConfiguration, bug
from embedrun_plugins.services.sagemaker.container.metrics import MetricsPrinter
from embedrun_plugins.services.sagemaker.container.results import finalize, leave_model, leave_results

OUTCOME = "outcome.json"
STOPPED = 143
"""Exit code after SIGTERM: 128 and the signal's number. Not 0, so that a job without a model is never "Completed"."""
_ALONE: Mapping[str, Any] = {"deployer": [], "runtime": None}
"""What a job does not do: deploying is for who started it, and it runs here."""


@dataclass(frozen=True)
class ContainerRun:
    """One run, as the container's order asks for it."""

    container: Container
    scratch: Path

    def run(self) -> None:
        """Run, and leave model and results. Raises EmbedrunError where anything fails."""
        order = JobConfiguration.read(self.container)
        sent = order.channels.get("store")
        if models := sent_models(order):
            os.environ["EMBEDRUN_MODELS"] = models
        chosen = choose(order, self.scratch)
        import_results(sent, self.container.store)
        loaded = load(chosen.file, order)
        loaded.registry.hooks.register(MetricsPrinter())
        stopped = self._execute(loaded, chosen, order)
        record = RunRecord.read(self.container.run)
        if not stopped:
            leave_model(record, self.container)
        leave_results(record, self.container, sent)
        if stopped:
            raise stopped

    def _execute(self, loaded: Loaded, chosen: Chosen, order: JobConfiguration) -> EmbedrunError | None:
        record = None
        if chosen.record:
            record = self.container.run
            shutil.rmtree(record, ignore_errors=True)
            shutil.copytree(chosen.record, record, copy_function=shutil.copyfile)
        settings = Settings(
            runs=self.container.output / "runs",
            store=self.container.store,
            offline=order.offline,
            until=order.hyperparameters.get("until"),
            device=order.hyperparameters.get("device"),
            record=record,
        )
        try:
            return execute(loaded, settings, PlainConsole())[1]
        finally:
            finalize(self.container)


def load(file: Path, order: JobConfiguration) -> Loaded:
    """Read the recipe with the job's changes, and as many training processes as the job has.

    Raises UserError where the recipe asks for another number of processes, or cannot use several machines.
    """
    overrides: dict[str, Any] = {**order.overrides, **_ALONE}
    loaded = Loaded.read(file, overrides)
    machines = len(order.resources.hosts)
    trainer = loaded.recipe.trainer
    fields = type(trainer).model_fields if trainer else {}
    if "processes" not in fields:
        if machines > 1:
            what = f"the trainer '{trainer.type}' trains" if trainer else "without a trainer, a recipe runs"
            raise UserError(f"{what} on one machine only, and this job has {machines}; start it with one instance")
        return loaded
    processes = getattr(trainer, "processes", None) or 1
    if processes > 1 and "nproc_per_node" not in order.hyperparameters and processes % machines == 0:
        return loaded
    there = machines * order.processes
    if processes not in (1, there):
        raise UserError(
            f"trainer.processes: the recipe asks for {processes} processes, and {machines} instance(s) with "
            f"{order.processes} each are {there}; change the number of instances, or nproc_per_node"
        )
    return Loaded.read(file, {**overrides, "trainer.processes": there}) if there != processes else loaded


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    end_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    prefix, scratch = map(Path, sys.argv[1:])
    reason = ""
    try:
        ContainerRun(Container(prefix), scratch).run()
    except KeyboardInterrupt:
        return STOPPED
    except EmbedrunError as error:
        reason = str(error)
    except Exception as error:  # noqa: BLE001 # the job's owner must be told of a bug, too
        traceback.print_exc()
        reason = bug(error)
    (scratch / OUTCOME).write_text(json.dumps({"reason": reason}), "utf-8")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
