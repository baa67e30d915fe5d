"""The recipe that a sweep starts from, and that of each trial: other values, scored on dev in place of test."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from embedrun.errors import Problem, RecipeError, UserError
from embedrun.execution import Loaded
from embedrun.plan import Plan
from embedrun.recipe import Recipe
from embedrun.stages import Evaluator
from embedrun_plugins.cli.trials.parameters import Parameter
from embedrun_plugins.cli.trials.search_space import SearchSpace

DEV = "dev"
_JUDGING = ("source", "generator", "filters", "evaluator", "compare_with", "seed", "seeds")
"""Keys that decide what trials are judged by."""
_AROUND = ("name", "description", "plugins", "deployer", "runtime")
"""Keys that change no training."""


@dataclass(frozen=True)
class SweptRecipe:
    """A recipe, what is tried with it, and what every trial has beside that."""

    file: str
    space: SearchSpace
    added: Mapping[str, Any]
    """What the sweep itself sets in every trial, so that it can prune."""
    loaded: Loaded
    """The recipe with its own values: what trial 0 carries out."""
    shipped: Mapping[str, Any]
    """Parameters of the recipe's own values; without those that lie outside of what is tried."""

    @classmethod
    def read(cls, file: str, space: SearchSpace, *, prunes: bool) -> SweptRecipe:
        """Read a recipe with every value that could be refused.

        Raises RecipeError where it cannot be swept, UserError, with the column, where a value is refused.
        """
        loaded = Loaded.read(file, space.fixed)
        _require(loaded)
        for parameter in space.parameters:
            _require_sweepable(parameter)
        added = _evaluations(loaded.recipe, space) if prunes and not trains_elsewhere(loaded.recipe) else {}
        loaded = Loaded.read(file, {**space.fixed, **added})
        loaded.require()
        shipped = {p.key: _shipped(file, {**space.fixed, **added}, p, loaded) for p in space.parameters}
        known = {key: value for key, value in shipped.items() if value is not None}
        return cls(file, space, added, loaded, known)

    def overrides(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that `--set` changes for a trial."""
        return {**self.space.fixed, **self.added, **self.space.overrides(dict(params))}

    def read_trial(self, params: Mapping[str, Any]) -> Loaded:
        """Read the recipe of a trial. Raises RecipeError where its values do not go together."""
        return Loaded.read(self.file, self.overrides(params))


def trains_elsewhere(recipe: Recipe) -> bool:
    """Say whether trainings are carried out by a runtime, out of reach of a pruner."""
    return recipe.runtime is not None and recipe.runtime.type != "local"


def judge_of(recipe: Recipe) -> Evaluator:
    """Return the evaluator that trials are chosen by."""
    return recipe.evaluator[0]


def metric_of(judge: Evaluator) -> str:
    """Name the metric that the evaluator's verdict is on, as far as it is known before anything was scored."""
    names = sorted(judge.metrics() or (), key=lambda name: [int(p) if p.isdigit() else p for p in _parts(name)])
    return next(iter(judge.headline(names)), "") if names else ""


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name)


def scored_on_dev(loaded: Loaded, name: str) -> Loaded:
    """Return a trial's recipe: its evaluator stays as it is, since trainings know it, and another one scores dev."""
    judge = judge_of(loaded.recipe)
    dev = judge.model_copy(update={"split": DEV, "require": ()})
    changes = {"name": name, "evaluator": (judge, dev), "compare_with": (), "deployer": ()}
    return replace(loaded, recipe=loaded.recipe.model_copy(update=changes))


def dev_name(recipe: Recipe) -> str:
    """Return the name in a trial's recipe of the evaluator that scores dev."""
    return f"{judge_of(recipe).type}.2"


def without_test(plan: Plan) -> Plan:
    """Return a trial's plan without the steps that score test."""
    name = dev_name(plan.recipe)
    kept = [step for step in plan.steps if not isinstance(step.stage, Evaluator) or step.name == name]
    return replace(plan, steps=tuple(kept))


def _require(loaded: Loaded) -> None:
    if re.match(r'\s*{\s*"lock"', loaded.written):
        raise UserError(f"{loaded.path}: is a lock; sweep the recipe.yaml beside it")
    if problems := list(_problems(loaded.recipe)):
        raise loaded.document.error(problems)


def _problems(recipe: Recipe) -> Iterator[Problem]:
    if recipe.trainer is None:
        yield Problem((), "a sweep tries trainings, but the recipe has no trainer")
        return
    judge = judge_of(recipe) if recipe.evaluator else None
    split = getattr(judge, "split", None)
    if judge is None:
        yield Problem((), "a sweep chooses by the recipe's evaluator, but it has none; add information_retrieval")
    elif split is None:
        message = f"a sweep chooses by the first evaluator, and '{judge.type}' scores no split; put another one first"
        yield Problem(("evaluator", 0), message)
    elif split != "test":
        message = f"a sweep chooses on 'dev' and judges the winner on 'test', but this scores '{split}'; set it to test"
        yield Problem(("evaluator", 0, "split"), message)
    splits = recipe.source.splits_given()
    if splits is not None and DEV not in splits:
        names = ", ".join(sorted(splits))
        message = f"a sweep chooses on the 'dev' split, but the source makes only {names}; {_hold_out(recipe)}"
        yield Problem(("source",), message)
    for stage in (recipe.trainer, recipe.merge):
        watched = stage.watched_split() if stage else None
        if stage and watched not in (None, DEV):
            yield Problem((stage.kind,), f"is chosen on '{watched}', which would spoil the winner's verdict; use dev")


def _hold_out(recipe: Recipe) -> str:
    share = getattr(getattr(recipe.source, "holdout", None), "test", 0)
    share = f"test: {share}, " if share else ""
    return f"hold some queries out, as in --set 'source.holdout={{{share}dev: 0.15}}'"


def _require_sweepable(parameter: Parameter) -> None:
    first, _, last = parameter.key.partition(".")
    if first in _JUDGING:
        reason = "would change what trials are judged by, so that they could not be compared"
    elif first in _AROUND:
        reason = "changes no training; give it one value"
    elif last.endswith("type"):
        reason = f"leaves the keys of the other type behind; try the stages themselves, as in {first}=first,second"
    else:
        return
    raise UserError(f"--set '{parameter.setting.text}', column 1: '{parameter.key}' {reason}")


def _evaluations(recipe: Recipe, space: SearchSpace) -> dict[str, Any]:
    """Return what makes trainings tell dev scores while they go on, where the recipe does not."""
    trainer = recipe.trainer
    if trainer is None or trainer.watched_split() or "eval_strategy" not in type(trainer).model_fields:
        return {}
    if "trainer.eval_strategy" in space.fixed:
        return {}
    epochs, steps = getattr(trainer, "epochs", 1), getattr(trainer, "max_steps", None)
    if steps is None and epochs >= 2:  # noqa: PLR2004 - an evaluation before the last
        return {"trainer.eval_strategy": "epoch"}
    return {"trainer.eval_strategy": "steps", "trainer.eval_steps": 0.25}


def _shipped(file: str, fixed: Mapping[str, Any], parameter: Parameter, loaded: Loaded) -> Any:
    """Return the parameter of the recipe's own value, None where it has none; reads the recipe with each sample."""
    taken = []
    for value, at in parameter.samples():
        try:
            changed = Loaded.read(file, {**fixed, parameter.key: value})
        except RecipeError as error:
            message = "; ".join(line.removeprefix(f"--set {parameter.key}: ") for line in error.lines)
            raise parameter.setting.error(f"{value}: {message}", at) from error
        except UserError as error:
            message = str(error).removeprefix(f"--set {parameter.key}: ")
            raise parameter.setting.error(f"{value}: {message}", at) from error
        taken.append(value_at(changed.recipe.dump(), parameter.key))
    return parameter.param(value_at(loaded.recipe.dump(), parameter.key), taken)


def value_at(dumped: Any, key: str) -> Any:
    """Return what a recipe says under a dotted key, None where it says nothing."""
    for part in key.split("."):
        if isinstance(dumped, list):
            dumped = dumped[int(part)] if part.isdecimal() and int(part) < len(dumped) else None
        else:
            dumped = dumped.get(part) if isinstance(dumped, dict) else None
    return dumped
