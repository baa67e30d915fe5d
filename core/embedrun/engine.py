"""Carrying out a plan: each step reused or run, recorded, and shown."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from embedrun import console as consoles
from embedrun.artifacts import Comparison, Model, Remote, RetrievalSet, Scores
from embedrun.base_model import carried, fetch
from embedrun.context import Context
from embedrun.errors import EmbedrunError, PluginError, RequirementError, StageError, UserError
from embedrun.finished import Finished
from embedrun.memory import peak_memory
from embedrun.plan import Plan, Step, named
from embedrun.record import RunRecord
from embedrun.stages import ROLES, Deployer, Evaluator, Filter, Generator, Merger, Miner, Source, Trainer
from embedrun.store import Build, Store, Stored


@dataclass
class _Reports:
    """What a stage reported: kept with its artifact, so that a reused one says the same."""

    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


class Engine:
    """Runs one plan once."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        record: RunRecord,
        console: consoles.Console,
        *,
        device: str | None = None,
        offline: bool = False,
    ) -> None:
        self.plan, self.store, self.record, self.console = plan, store, record, console
        self.device, self.offline = device, offline
        self.digests: dict[str, str] = {"model": plan.base.digest}
        self.folders: dict[str, Path] = {}

    def run(self) -> None:
        """Carry out every step.

        Raises StageError where a stage fails, RequirementError where a limit of the recipe does not hold.
        """
        started = time.monotonic() - float(self.record.data.get("seconds") or 0.0)
        status, error = "failed", None
        self.record.data.update(status="running", device=self.device)
        self.store.refer(self.record.folder)
        done = {stage.slot for stage in self.record.stages()}
        try:
            self._observe("embedrun_run_started")
            for step in self.plan.steps:
                if step.slot in done and self._recall(step):
                    continue
                if isinstance(step.stage, Deployer):
                    self._require()
                self._step(step)
            self._require()
            status = "done"
        except KeyboardInterrupt:
            status = "interrupted"
            raise
        except Exception as caught:
            error = str(caught)
            raise
        finally:
            self.console.close()
            self.plan.files.save()
            self.record.end(status, time.monotonic() - started, error)
            self._observe("embedrun_run_finished")

    def _recall(self, step: Step) -> bool:
        """Take up what a step left when the run was carried out elsewhere, if it is still here."""
        key = self.plan.key(step, self.digests)
        stored = self.store.get(key) if key else None
        if stored:
            self.digests[step.slot], self.folders[step.slot] = stored.digest, stored.out
        return stored is not None

    def _step(self, step: Step) -> None:
        key = self.plan.key(step, self.digests)
        if key is None:
            raise PluginError(f"{step.slot}: an earlier stage made no result to work on")
        reports = _Reports()
        finished = Finished(step.slot, step.stage.type, key if step.cached else None)
        started = time.monotonic()
        try:
            with peak_memory() as peak:
                stored, cached = self._make(step, key, reports)
            if stored:
                self.digests[step.slot], self.folders[step.slot] = stored.digest, stored.out
                reports = _Reports(dict(stored.notes), list(stored.manifest.get("warnings") or ()))
            self._keep_scores(step)
            digest = stored.digest if stored else None
            finished = replace(finished, digest=digest, cached=cached, peak_memory=peak())
        except BaseException as error:
            finished = replace(finished, error=f"{type(error).__name__}: {error}")
            raise
        finally:
            seconds = round(time.monotonic() - started, 3)
            self._tell(replace(finished, seconds=seconds, notes=reports.notes, warnings=tuple(reports.warnings)))

    def _make(self, step: Step, key: str, reports: _Reports) -> tuple[Stored | None, bool]:
        """Return what a step left in the store, and whether it was there already."""
        stored = self.store.get(key) if step.cached else None
        if stored:
            return stored, True
        self.console.started(step.slot, step.stage.type)
        self.record.data["making"] = key
        self.record.save()
        if isinstance(step.stage, Deployer):
            self._deploy(step, step.stage, reports)
            return None, False
        return self._build(step, key, reports)

    def _tell(self, finished: Finished) -> None:
        self.record.add(finished)
        self.console.finished(finished)
        for warning in finished.warnings if finished.cached else ():
            self.console.warning(finished.slot, warning)
        self._observe("embedrun_stage_finished", stage=finished)

    def _observe(self, hook: str, **arguments: Any) -> None:
        """Call an observer; what goes wrong there is told, but fails no run."""
        try:
            getattr(self.plan.registry.hooks.hook, hook)(run=self.record, **arguments)
        except Exception as error:  # noqa: BLE001  # an observer may raise anything
            self.record.log("traceback", stage=hook, text=traceback.format_exc())
            self.console.say(f"warning: a plugin's {hook} failed: {_reason(error)}")

    def _build(self, step: Step, key: str, reports: _Reports) -> tuple[Stored, bool]:
        def waiting() -> None:
            self.console.say(f"{step.slot}: another run is making this; waiting for it")

        with self.store.building(key, waiting) as build:
            if isinstance(build, Stored):
                return build, True
            with self._failures(step):
                self._execute(step, self._context(step, build, reports))
                if not any(build.out.iterdir()):
                    raise PluginError("wrote nothing below ctx.out")
            description = self.plan.description(step, self.digests)
            kept = {"slot": step.slot, "made_of": description, "notes": reports.notes, "warnings": reports.warnings}
            return self.store.publish(key, build, kept), False

    def _context(self, step: Step, build: Build, reports: _Reports) -> Context:
        def warn(message: str) -> None:
            reports.warnings.append(message)
            self.console.warning(step.slot, message)

        def event(name: str, values: Mapping[str, Any]) -> None:
            self.record.log(name, **values)
            self._observe("embedrun_event", name=name, values=values)

        return Context(
            out=build.out,
            state=build.state,
            answers=self.store.answers,
            model=self._model(step, "model") if step.stage.uses_model() else None,
            seed=self.plan.recipe.seed,
            device=self.device,
            offline=self.offline,
            on_note=reports.notes.__setitem__,
            on_warning=warn,
            on_progress=self.console.progress,
            on_event=event,
        )

    @contextlib.contextmanager
    def _failures(self, step: Step) -> Iterator[None]:
        """Turn whatever a stage raises into an error that names it; tracebacks go to the run's log."""
        where = f"{step.slot} ({step.stage.type})"
        try:
            yield
        except UserError as error:
            raise type(error)(f"{where}: {error}") if type(error).__init__ is Exception.__init__ else error from error
        except EmbedrunError as error:
            raise StageError(f"{where}: {error}") from error
        except Exception as error:
            self.record.log("traceback", stage=step.slot, text=traceback.format_exc())
            raise StageError(
                f"{where} failed: {_reason(error)} (traceback in {self.record.folder}/log.jsonl)"
            ) from error

    def _execute(self, step: Step, ctx: Context) -> None:
        match step.stage:
            case Source() as stage:
                stage.run(ctx)
            case Generator() | Filter() as stage:
                stage.run(ctx, self._data(step))
            case Miner() as stage:
                stage.run(ctx, self._data(step), self._model(step, "model"))
            case Trainer() as stage if step.loss:
                stage.run(ctx, self._data(step), self._model(step, "model"), step.loss, step.dev)
            case Merger() as stage:
                stage.run(ctx, self._data(step), self._model(step, "base"), self._model(step, "tuned"), step.dev)
            case Evaluator() as stage if step.compares:
                stage.compare(ctx, {role: Scores(self.folders[slot]) for role, slot in step.needs.items()})
            case Evaluator() as stage if step.rival:
                stage.run(ctx, self._data(step), Remote(ctx.state, connect=partial(step.rival.connect, ctx)))
            case Evaluator() as stage:
                stage.run(ctx, self._data(step), self._model(step, "model"))
            case stage:
                raise PluginError(f"{step.slot}: a stage of kind '{stage.kind}' cannot be run here")

    def _deploy(self, step: Step, deployer: Deployer, reports: _Reports) -> None:
        folder = self.record.folder / "deployments" / step.slot.removeprefix("deployer.")
        build = Build(folder)
        build.out.mkdir(parents=True)
        build.state.mkdir()
        with self._failures(step):
            endpoint = deployer.run(self._context(step, build, reports), self._model(step, "model"))
        described = {"endpoint": endpoint.model_dump(mode="json"), "deployer": deployer.model_dump(mode="json")}
        (folder / "endpoint.json").write_text(json.dumps(described, indent=1) + "\n", "utf-8")
        if place := endpoint.url or endpoint.path:
            reports.notes["at"] = place

    def _data(self, step: Step) -> RetrievalSet:
        return RetrievalSet(self.folders[step.needs["data"]])

    def _model(self, step: Step, need: str) -> Model:
        slot = step.needs[need]
        settings = self.plan.recipe.model.settings
        if slot == "model":
            return Model(fetch(self.plan.base, offline=self.offline), settings)
        return Model(self.folders[slot], carried(settings))

    def _keep_scores(self, step: Step) -> None:
        if not isinstance(step.stage, Evaluator):
            return
        name, role = step.slot.removeprefix("evaluator.").rsplit(".", 1)
        if step.compares:
            self.record.data.setdefault("comparisons", {})[name] = Comparison(self.folders[step.slot]).rows
            return
        metrics = Scores(self.folders[step.slot]).metrics
        self.record.data["scores"].setdefault(name, {})[role] = metrics
        self.record.data.setdefault("headlines", {}).setdefault(name, list(step.stage.headline(list(metrics))))

    def _require(self) -> None:
        """Judge the recipe's limits, which are not part of what is stored."""
        unmet: list[str] = []
        for slot, judge in named(self.plan.recipe.evaluator):
            known = (*ROLES, *(rival.role for rival in self.plan.recipe.compare_with))
            roles = {role: f"{slot}.{role}" for role in known if f"{slot}.{role}" in self.folders}
            if not roles:
                continue
            scores = {role: Scores(self.folders[place]) for role, place in roles.items()}
            compared = self.folders.get(f"{slot}.comparison")
            found = judge.unmet(scores, Comparison(compared) if compared else None)
            unmet += [f"{slot.removeprefix('evaluator.')}: {limit}" for limit in found]
        if unmet:
            self.record.data["unmet"] = unmet
            raise RequirementError("the recipe's requirements do not hold:\n  " + "\n  ".join(unmet))


def _reason(error: Exception) -> str:
    text = str(error).strip()
    # Libraries wrap the system's error in their own.
    if os.strerror(errno.ENOSPC) in text:
        return "the disk is full; free some space, or choose another folder with --store"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
