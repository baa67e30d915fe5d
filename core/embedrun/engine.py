"""The engine: each step of a plan reused or run, recorded, and shown."""

from __future__ import annotations

import contextlib
import errno
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pluggy

from embedrun import deployments
from embedrun.artifacts import Comparison, Model, RetrievalSet, Scores
from embedrun.console import Console
from embedrun.context import Context, RunRef
from embedrun.errors import EmbedrunError, PluginError, RequirementError, StageError, UserError
from embedrun.finished import Finished
from embedrun.names import of_plugins
from embedrun.plan import Plan, Step
from embedrun.record import RunRecord
from embedrun.stages import Deployer, Evaluator, Filter, Generator, Merger, Miner, Reranker, Source, Trainer
from embedrun.store import Build, Store, Stored


@dataclass
class _Reports:
    """What a stage reported: kept with its artifact, so that a reused one says the same."""

    notes: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Engine:
    """Runs one plan once."""

    plan: Plan
    store: Store
    record: RunRecord
    console: Console
    hooks: pluggy.PluginManager
    """Those of the plugins that observe the run."""
    device: str | None = None
    offline: bool = False

    def __post_init__(self) -> None:
        self.digests: dict[str, str] = {"model": self.plan.base.digest}
        self.folders: dict[str, Path] = {}

    def run(self) -> None:
        """Execute every step.

        Raises StageError where a stage fails, RequirementError where a limit of the recipe does not hold.
        """
        started = time.monotonic() - self.record.seconds
        status, error = "failed", None
        self.record.change(status="running", device=self.device)
        self.store.refer(self.record.folder)
        recorded = {stage.slot for stage in self.record.stages()}
        try:
            self._observe("embedrun_run_started")
            for step in self.plan.steps:
                if step.slot in recorded and self._recall(step):
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
        if key and (stored := self.store.get(key)):
            self._keep(step, stored)
        return step.slot in self.folders

    def _keep(self, step: Step, stored: Stored) -> None:
        self.digests[step.slot], self.folders[step.slot] = stored.digest, stored.out

    def _step(self, step: Step) -> None:
        key = self.plan.key(step, self.digests)
        if key is None:
            raise PluginError(f"{step.slot}: an earlier stage made no result to work on")
        reports = _Reports()
        finished = Finished(step.slot, step.stage.type, key if step.cached else None)
        started = time.monotonic()
        try:
            with of_plugins("machine").peak_memory() as peak:
                stored, cached = self._make(step, key, reports)
            if stored:
                self._keep(step, stored)
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
        if step.cached and (stored := self.store.get(key)):
            return stored, True
        self.console.started(step.slot, step.stage.type)
        self.record.change(making=key)
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
            getattr(self.hooks.hook, hook)(run=self.record, **arguments)
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
                artifact = self._execute(step, self._context(step, build, reports))
                if getattr(artifact, "path", None) != build.out:
                    raise PluginError(f"returned {artifact!r}; it must return the artifact that it wrote to ctx.out")
                if not any(build.out.iterdir()):
                    raise PluginError("wrote nothing below ctx.out")
                if file := self.plan.changed_file(step):
                    raise UserError(f"{file}: changed while it was read; run the same command again")
            description = self.plan.description(step, self.digests)
            manifest = {"slot": step.slot, "made_of": description, "notes": reports.notes, "warnings": reports.warnings}
            return self.store.publish(key, build, manifest), False

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
            run=None if step.cached else RunRef(self.record.folder.absolute()),
            model=self._model(step, "model") if step.stage.uses_model() else None,
            seed=self.plan.recipe.seed if step.seed is None else step.seed,
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
            log = self.record.folder / "log.jsonl"
            raise StageError(f"{where} failed: {_reason(error)} (traceback in {log})") from error

    def _execute(self, step: Step, ctx: Context) -> RetrievalSet | Model | Scores | Comparison:
        artifact: RetrievalSet | Model | Scores | Comparison
        match step.stage:
            case Source() as stage:
                artifact = stage.run(ctx)
            case Generator() | Filter() as stage:
                artifact = stage.run(ctx, self._data(step))
            case Miner() as stage:
                artifact = stage.run(ctx, self._data(step), self._model(step, "model"))
            case Trainer() as stage if step.loss:
                artifact = stage.run(ctx, self._data(step), self._model(step, "model"), step.loss, step.dev)
            case Merger() as stage:
                base, tuned = self._model(step, "base"), self._model(step, "tuned")
                artifact = stage.run(ctx, self._data(step), base, tuned, step.dev)
            case Reranker() as stage:
                artifact = stage.run(ctx, self._data(step))
            case Evaluator() as stage:
                artifact = self._evaluate(step, stage, ctx)
            case stage:
                raise PluginError(f"{step.slot}: a stage of kind '{stage.kind}' cannot be run here")
        return artifact

    def _evaluate(self, step: Step, stage: Evaluator, ctx: Context) -> Scores | Comparison:
        if step.compares:
            return stage.compare(ctx, {role: Scores(self.folders[slot]) for role, slot in step.needs.items()})
        if step.comparison:
            return stage.evaluate(ctx, self._data(step), step.comparison.connect(ctx))
        if step.reranker:
            tuned = Model(self.folders["reranker"]) if "reranker" in step.needs else None
            return stage.rerank(ctx, self._data(step), Scores(self.folders[step.needs["first"]]), step.reranker, tuned)
        return stage.run(ctx, self._data(step), self._model(step, "model"))

    def _deploy(self, step: Step, deployer: Deployer, reports: _Reports) -> None:
        build = Build(deployments.folder(self.record.folder, step.name))
        build.out.mkdir(parents=True)
        build.state.mkdir()
        with self._failures(step):
            endpoint = deployer.run(self._context(step, build, reports), self._model(step, "model"))
        deployments.write(build.path, deployer, endpoint)
        if address := endpoint.url or endpoint.path:
            reports.notes["at"] = address

    def _data(self, step: Step) -> RetrievalSet:
        return RetrievalSet(self.folders[step.needs["data"]] if "data" in step.needs else Path())

    def _model(self, step: Step, need: str) -> Model:
        slot = step.needs[need]
        settings = self.plan.recipe.model.settings
        if slot == "model":
            model = Model(of_plugins("base_models").fetch(self.plan.base, offline=self.offline), settings)
            if faults := [why for answer in self.hooks.hook.embedrun_model_faults(model=model) for why in answer]:
                raise UserError(f"model: {'; '.join(faults)}")
            return model
        return Model(self.folders[slot]) if slot == "reranker" else Model(self.folders[slot], settings.unsaved())

    def _keep_scores(self, step: Step) -> None:
        if not isinstance(step.stage, Evaluator):
            return
        name, record = step.name, self.record
        if step.compares:
            record.change(comparisons={**record.comparisons, name: Comparison(self.folders[step.slot]).rows})
            return
        metrics = Scores(self.folders[step.slot]).metrics
        by_role = {**record.scores.get(name, {}), step.role: metrics}
        headline = record.headlines.get(name) or list(step.stage.headline(list(metrics)))
        record.change(scores={**record.scores, name: by_role}, headlines={**record.headlines, name: headline})

    def _require(self) -> None:
        """Judge the recipe's limits, which are not part of what is stored."""
        if unmet := list(self._unmet()):
            self.record.change(unmet=unmet)
            raise RequirementError("the recipe's requirements do not hold:\n  " + "\n  ".join(unmet))

    def _unmet(self) -> Iterator[str]:
        done = (step for step in self.plan.steps if step.slot in self.folders)
        steps = sorted(done, key=lambda step: step.comparison is not None)  # the models of the run come first
        evaluators = {step.name: step.stage for step in steps if isinstance(step.stage, Evaluator)}
        for name, evaluator in evaluators.items():
            scores = {s.role: Scores(self.folders[s.slot]) for s in steps if s.name == name and not s.compares}
            comparisons = [Comparison(self.folders[s.slot]) for s in steps if s.name == name and s.compares]
            limits = evaluator.unmet(scores, comparisons[0] if comparisons else None)
            yield from (f"{name}: {limit}" for limit in limits)


def _reason(error: Exception) -> str:
    text = str(error).strip()
    # Libraries wrap the system's error in their own.
    if os.strerror(errno.ENOSPC) in text:
        return "the disk is full; free some space, or choose another folder with --store"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
