"""What a recipe will do: its steps in order, each with what it takes and the key of its result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import BaseModel

from embedrun.artifacts import RetrievalSet
from embedrun.base_model import Base, carried
from embedrun.context import Resolver, Unkeyed
from embedrun.errors import UserError, suggest
from embedrun.hashing import value_digest
from embedrun.recipe import Recipe
from embedrun.registry import Registry
from embedrun.stages import ROLES, Deployer, Embedder, Evaluator, Loss, Merger, Stage, Trainer
from embedrun.store import FileDigests, Store, Stored

KEY_SCHEMA = 1
"""Raise it when the meaning of keys or the layout of artifacts changes: everything then runs again."""


@dataclass(frozen=True)
class Step:
    """One thing to do. `needs` maps what the stage is given (data, model, …) to the slot that makes it."""

    slot: str
    stage: Stage
    needs: Mapping[str, str] = field(default_factory=dict)
    loss: Loss | None = None
    dev: Evaluator | None = None
    rival: Embedder | None = None
    """What is scored, where it is no model of the run."""

    @property
    def cached(self) -> bool:
        """Whether its result is kept; what a deployer makes lives elsewhere."""
        return not isinstance(self.stage, Deployer)

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Say what running it would take, as far as the data, if known already, tells."""
        return self.stage.forecast(data, self.loss) if isinstance(self.stage, Trainer) else self.stage.forecast(data)

    @property
    def compares(self) -> bool:
        return self.slot.endswith(".comparison")


@dataclass(frozen=True)
class Plan:
    """A resolved recipe and its steps."""

    recipe: Recipe
    base: Base
    steps: tuple[Step, ...]
    registry: Registry
    files: FileDigests

    def key(self, step: Step, digests: Mapping[str, str]) -> str | None:
        """Return the key of a step's result; None while a digest that it needs is not known."""
        if not all(slot in digests for slot in step.needs.values()):
            return None
        return value_digest(self.description(step, digests))

    def description(self, step: Step, digests: Mapping[str, str]) -> dict[str, Any]:
        """Return what the key is the digest of; `digests` are those of the slots, "model" being the base's."""
        stage = step.stage
        described: dict[str, Any] = {
            "schema": KEY_SCHEMA,
            "stage": self._identity(stage),
            "inputs": {name: digests[slot] for name, slot in sorted(step.needs.items())},
        }
        if step.compares:
            described["compares"] = True
        elif "model" in step.needs or "base" in step.needs:
            settings = self.base.choice.settings
            of_base = "model" in step.needs.values()
            described["model"] = (settings if of_base else carried(settings)).model_dump(mode="json")
        if stage.seeded or step.compares:
            described["seed"] = self.recipe.seed
        if step.loss:
            described["loss"] = self._identity(step.loss)
        if step.rival:
            described["rival"] = self._identity(step.rival)
        if step.dev:
            described["dev"] = self._identity(step.dev)
        given = [part for part in (stage, step.loss, step.rival, step.dev) if part]
        if files := [path for part in given for path in part.inputs()]:
            described["files"] = [self.files.of(path) for path in files]
        return described

    def _identity(self, stage: Stage) -> dict[str, Any]:
        owner = self.registry.owner(stage)
        return {
            "kind": stage.kind,
            "owner": [owner.name, owner.version],
            "version": stage.version,
            "config": keyed(stage),
        }

    def work(self, store: Store) -> list[Step]:
        """Return the steps, deployers aside, whose results are not in the store, as far as is known before running."""
        return [step for step, _, stored in self.forecast(store) if step.cached and not stored]

    def forecast(self, store: Store) -> Iterator[tuple[Step, str | None, Stored | None]]:
        """Yield each step with its key and stored result, as far as they are known before running."""
        digests = {"model": self.base.digest}
        for step in self.steps:
            key = self.key(step, digests)
            stored = store.get(key) if key and step.cached else None
            if stored:
                digests[step.slot] = stored.digest
            yield step, key, stored


def keyed(model: BaseModel) -> dict[str, Any]:
    """Return a configuration as JSON without the fields that cannot change a result."""
    found = {}
    dumped = model.model_dump(mode="json", serialize_as_any=True)
    for name, info in type(model).model_fields.items():
        if Unkeyed not in info.metadata and not _mentions_unkeyed(info.annotation):
            found[name] = _keyed_value(getattr(model, name), dumped[name])
    return found


def _keyed_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return keyed(value)
    if isinstance(value, tuple | list):
        return [_keyed_value(item, shown) for item, shown in zip(value, dumped, strict=True)]
    return dumped


def _mentions_unkeyed(annotation: Any) -> bool:
    """Look for the marker inside unions and lists too, as in `InputPath | None`."""
    inner = (*getattr(annotation, "__metadata__", ()), *get_args(annotation))
    return any(part is Unkeyed or _mentions_unkeyed(part) for part in inner)


def make(recipe: Recipe, base: Base, registry: Registry, files: FileDigests, *, until: str | None = None) -> Plan:
    """Lay out the steps of a recipe whose stages are resolved. Raises UserError where `until` names no step."""
    recipe = recipe.model_copy(update={"model": base.choice})
    return Plan(recipe, base, tuple(_until(list(_steps(recipe)), until)), registry, files)


def resolved(recipe: Recipe, resolver: Resolver) -> Recipe:
    """Return the recipe with everything that floats fixed, stage by stage."""
    changes: dict[str, Any] = {}
    for key in type(recipe).model_fields:
        value = getattr(recipe, key)
        if isinstance(value, Stage):
            changes[key] = value.resolve(resolver)
        elif isinstance(value, tuple) and value and isinstance(value[0], Stage):
            changes[key] = tuple(item.resolve(resolver) for item in value)
    return recipe.model_copy(update=changes)


def _until(steps: list[Step], until: str | None) -> Iterable[Step]:
    if until is None:
        return steps
    last = [i for i, step in enumerate(steps) if step.slot == until or step.slot.startswith(f"{until}.")]
    if not last:
        raise UserError(f"--until {until}: this recipe has no such stage{suggest(until, [s.slot for s in steps])}")
    return steps[: last[-1] + 1]


def _steps(recipe: Recipe) -> Iterator[Step]:
    for step in _gathering(recipe):
        yield step
        data = judged = step.slot
    if recipe.negatives:
        yield Step("negatives", recipe.negatives, {"data": data, "model": "model"})
        data = "negatives"
    judges = list(named(recipe.evaluator))
    # Before training, so that what is wrong with the evaluation is not learned hours later.
    for name, judge in judges:
        yield Step(f"{name}.base", judge, {"data": judged, "model": "model"})
        for rival in _rivals(recipe, judge):
            yield Step(f"{name}.{rival.role}", judge, {"data": judged}, rival=rival)
    models = {"base": "model"}
    for role, step in zip(ROLES[1:], _making(recipe, data), strict=False):
        yield step
        models[role] = step.slot
    for name, judge in judges:
        for role in list(models)[1:]:
            yield Step(f"{name}.{role}", judge, {"data": judged, "model": models[role]})
        roles = [*models, *(rival.role for rival in _rivals(recipe, judge))]
        if len(roles) > 1:
            yield Step(f"{name}.comparison", judge, {role: f"{name}.{role}" for role in roles})
    for name, deployer in named(recipe.deployer):
        yield Step(name, deployer, {"model": list(models.values())[-1]})


def _gathering(recipe: Recipe) -> Iterator[Step]:
    """Yield the steps that make the set that models are judged by."""
    yield Step("source", recipe.source, _model_for(recipe.source))
    data = "source"
    stages: list[tuple[str, Stage]] = [("generator", recipe.generator)] if recipe.generator else []
    stages += [(f"filters.{index}.{stage.type}", stage) for index, stage in enumerate(recipe.filters)]
    for slot, stage in stages:
        yield Step(slot, stage, {"data": data, **_model_for(stage)})
        data = slot


def _model_for(stage: Stage) -> dict[str, str]:
    return {"model": "model"} if stage.uses_model() else {}


def _rivals(recipe: Recipe, judge: Evaluator) -> tuple[Embedder, ...]:
    return recipe.compare_with if judge.only_encodes else ()


def _making(recipe: Recipe, data: str) -> Iterator[Step]:
    """Yield the steps that make a model: the tuned one, then the merged one."""
    if recipe.trainer and recipe.loss:
        dev = _dev(recipe, recipe.trainer)
        yield Step("trainer", recipe.trainer, {"data": data, "model": "model"}, recipe.loss, dev)
    if recipe.merge:
        merging = {"data": data, "base": "model", "tuned": "trainer"}
        yield Step("merge", recipe.merge, merging, dev=_dev(recipe, recipe.merge))


def _dev(recipe: Recipe, stage: Trainer | Merger) -> Evaluator | None:
    return recipe.evaluator[0] if recipe.evaluator and stage.watched_split() else None


def named(stages: Iterable[Stage]) -> Iterator[tuple[str, Any]]:
    """Yield each stage with its slot: `evaluator.information_retrieval`, the second one of a type ending in `.2`."""
    seen: dict[str, int] = {}
    for stage in stages:
        name = f"{stage.kind}.{stage.type}"
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}.{seen[name]}", stage
