"""A recipe laid out as steps: what is made in which order, from what, and what it is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from embedrun.context import Resolver
from embedrun.errors import UserError, suggest
from embedrun.file_digests import FileDigests
from embedrun.model_settings import BaseModelRef
from embedrun.plan import Plan, Step
from embedrun.plugins import Owner
from embedrun.recipe import Recipe
from embedrun.stage import Stage
from embedrun.stages import ROLES, Embedder, Evaluator, Filter, Merger, Reranker, Trainer


def make_plan(
    recipe: Recipe, base: BaseModelRef, owner_of: Callable[[Stage], Owner], files: FileDigests, until: str | None
) -> Plan:
    """Lay out the steps of a recipe whose stages are resolved. Raises UserError where `until` names no step."""
    recipe = recipe.model_copy(update={"model": base.choice})
    return Plan(recipe, base, tuple(_until(list(_steps(recipe)), until)), owner_of, files)


def resolved(recipe: Recipe, resolver: Resolver) -> Recipe:
    """Return the recipe with everything that floats fixed, stage by stage."""
    changes: dict[str, Any] = {}
    for key, value in recipe:
        if isinstance(value, Stage):
            changes[key] = value.resolve(resolver)
        elif isinstance(value, tuple) and value and isinstance(value[0], Stage):
            changes[key] = tuple(item.resolve(resolver) for item in value)
    return recipe.model_copy(update=changes)


def named(stages: Iterable[Stage]) -> Iterator[tuple[str, Any]]:
    """Yield each stage of a list with its name in it: its type, the second one of a type ending in `.2`.

    Filters are numbered, and models to compare with go by their role. A stage's slot is its kind and its name.
    """
    count: Counter[str] = Counter()
    for index, stage in enumerate(stages):
        count[stage.type] += 1
        if isinstance(stage, Filter):
            yield f"{index}.{stage.type}", stage
        elif isinstance(stage, Embedder):
            yield stage.role, stage
        else:
            yield stage.type if count[stage.type] == 1 else f"{stage.type}.{count[stage.type]}", stage


def _until(steps: list[Step], until: str | None) -> Iterable[Step]:
    if until is None:
        return steps
    last = [i for i, step in enumerate(steps) if step.slot == until or step.slot.startswith(f"{until}.")]
    if not last:
        raise UserError(f"--until {until}: this recipe has no such stage{suggest(until, [s.slot for s in steps])}")
    return steps[: last[-1] + 1]


def _steps(recipe: Recipe) -> Iterator[Step]:
    for step in _set_steps(recipe):
        yield step
        data = judged = step.slot
    if recipe.negatives:
        yield Step("negatives", recipe.negatives, {"data": data, "model": "model"})
        data = "negatives"
    evaluators = list(named(recipe.evaluator))
    # Before training, so that what is wrong with the evaluation is not learned hours later.
    for name, evaluator in evaluators:
        yield _scoring(name, evaluator, "base", {"data": judged, "model": "model"})
        for embedder in _compared(recipe, evaluator):
            yield _scoring(name, evaluator, embedder.role, {"data": judged}, embedder)
    models = {"base": "model"}
    for role, step in _model_steps(recipe, data):
        yield step
        models[role] = step.slot
    deployed = {"embedder": [models[role] for role in ROLES if role in models][-1], "reranker": "reranker"}
    if recipe.reranker:
        yield from _reranker_steps(recipe.reranker, data, {"data": judged, "model": deployed["embedder"]})
    for name, evaluator in evaluators:
        yield from _judging_steps(recipe, name, evaluator, judged, models)
    for name, deployer in named(recipe.deployer):
        yield Step(f"deployer.{name}", deployer, {"model": deployed[deployer.deploys]}, name=name)


def _judging_steps(
    recipe: Recipe, name: str, evaluator: Evaluator, judged: str, models: Mapping[str, str]
) -> Iterator[Step]:
    """Yield an evaluator's scorings of what was made after the base model, and how all that it scored compare."""
    for role in list(models)[1:]:
        yield _scoring(name, evaluator, role, {"data": judged, "model": models[role]})
    pairs = list(_pair_steps(recipe.reranker, name, evaluator, judged, [role for role in ROLES if role in models]))
    yield from pairs
    compared = (embedder.role for embedder in _compared(recipe, evaluator))
    roles = [*models, *compared, *(pair.role for pair in pairs)]
    if len(roles) > 1:
        scores = {role: f"evaluator.{name}.{role}" for role in roles}
        yield Step(f"evaluator.{name}.comparison", evaluator, scores, name=name, compares=True)


def _reranker_steps(reranker: Reranker, data: str, mined: Mapping[str, str]) -> Iterator[Step]:
    """Yield the steps that train the reranker; its negatives are mined in what the models are judged by."""
    if reranker.negatives:
        yield Step("reranker.negatives", reranker.negatives, mined)
        data = "reranker.negatives"
    if reranker.loss and reranker.trainer:
        yield Step("reranker", reranker.part(training=True), {"data": data})


def _pair_steps(
    reranker: Reranker | None, name: str, evaluator: Evaluator, judged: str, roles: Iterable[str]
) -> Iterator[Step]:
    """Yield the scorings of every model together with the reranker, as it was and as it is trained."""
    if reranker is None or not evaluator.ranks():
        return
    scoring = reranker.part(training=False)
    trained = {"tuned_reranker": {"reranker": "reranker"}} if reranker.loss and reranker.trainer else {}
    for role in roles:
        for second, needs in {"base_reranker": {}, **trained}.items():
            step = _scoring(name, evaluator, f"{role}+{second}", {"data": judged, **needs})
            yield replace(step, needs={**step.needs, "first": f"evaluator.{name}.{role}"}, reranker=scoring)


def _set_steps(recipe: Recipe) -> Iterator[Step]:
    """Yield the steps that make the set that models are judged by."""
    stages = [("source", recipe.source), ("generator", recipe.generator)]
    stages += [(f"filters.{name}", stage) for name, stage in named(recipe.filters)]
    needs: dict[str, str] = {}
    for slot, stage in stages:
        if stage:
            yield Step(slot, stage, {**needs, "model": "model"} if stage.uses_model() else needs)
            needs = {"data": slot}


def _scoring(name: str, evaluator: Evaluator, role: str, needs: dict[str, str], rival: Embedder | None = None) -> Step:
    needs = {need: slot for need, slot in needs.items() if need != "data" or evaluator.judges_data}
    return Step(f"evaluator.{name}.{role}", evaluator, needs, name=name, role=role, comparison=rival)


def _compared(recipe: Recipe, evaluator: Evaluator) -> tuple[Embedder, ...]:
    return recipe.compare_with if evaluator.only_encodes else ()


def _model_steps(recipe: Recipe, data: str) -> Iterator[tuple[str, Step]]:
    """Yield the steps that make a model, by its role: for each seed the tuned one, then the merged one."""
    for number, seed in enumerate(recipe.seeds or (None,)):
        end = f".seed_{seed}" if number else ""
        if recipe.trainer and recipe.loss:
            training, dev = {"data": data, "model": "model"}, _dev(recipe, recipe.trainer)
            yield f"tuned{end}", Step(f"trainer{end}", recipe.trainer, training, recipe.loss, dev, seed=seed)
        if recipe.merge:
            merging, dev = {"data": data, "base": "model", "tuned": f"trainer{end}"}, _dev(recipe, recipe.merge)
            yield f"merged{end}", Step(f"merge{end}", recipe.merge, merging, dev=dev, seed=seed)


def _dev(recipe: Recipe, stage: Trainer | Merger) -> Evaluator | None:
    return recipe.evaluator[0] if recipe.evaluator and stage.watched_split() else None
