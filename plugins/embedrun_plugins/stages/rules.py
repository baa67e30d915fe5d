"""What no single stage can know: whether a recipe's stages fit together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from embedrun.errors import Problem, suggest
from embedrun.stages import NEEDED, ROLES

if TYPE_CHECKING:
    from embedrun.recipe import Recipe
    from embedrun.stages import Reranker


def problems(recipe: Recipe) -> Iterator[Problem]:
    """Say which stages do not fit together, and what they lack."""
    yield from _training_problems(recipe)
    yield from _evaluation_problems(recipe)
    yield from _comparison_problems(recipe)
    yield from _reranker_problems(recipe)
    for key, items in (("deployer", recipe.deployer), ("seeds", recipe.seeds)):
        for index, item in enumerate(items):
            if item in items[:index]:
                yield Problem((key, index), f"the same '{getattr(item, 'type', item)}' is listed twice")


def _training_problems(recipe: Recipe) -> Iterator[Problem]:
    loss, trainer = recipe.loss, recipe.trainer
    if trainer and not loss:
        yield Problem(("trainer",), "needs a loss; name one under 'loss'")
    if loss and not trainer:
        yield Problem(("loss",), "needs a trainer, for example: trainer: {type: sentence_transformers}")
    for key in ("negatives", "merge", "seeds"):
        if getattr(recipe, key) and not trainer and not (key == "negatives" and _trained(recipe)):
            yield Problem((key,), "has no effect without a trainer; remove it or add one")
    yield from _lacking_problems(recipe)
    if loss and trainer and (reason := trainer.refuses(loss)):
        yield Problem(("trainer",), reason)


def _lacking_problems(recipe: Recipe) -> Iterator[Problem]:
    """Compare what training needs with what the set will hold."""
    loss, trainer, splits = recipe.loss, recipe.trainer, recipe.source.splits_given()
    if trainer and splits is not None and "train" not in splits:
        yield Problem(("trainer",), f"learns from the 'train' split, but {_only(splits)}")
    if loss:
        for column in sorted(NEEDED[loss.fed()] - _columns(recipe)):
            yield Problem(("loss",), f"'{loss.type}' {_LACKING[column]}")
    if trainer:
        for column in sorted(trainer.columns_needed() - _columns(recipe)):
            yield Problem(("trainer",), f"'{trainer.type}' {_LACKING[column]}")


_LACKING: Mapping[str, str] = {
    "positive": "needs queries with relevant documents; the source has none, so add a generator",
    "negative": "needs negatives; add a miner under 'negatives', or name the source's column of negatives",
    "score": "needs graded pairs; name the source's column of scores",
    "teacher_score": "needs a teacher's scores for positives and negatives; name the source's columns that hold them",
}


_RERANKER_LACKING: Mapping[str, str] = {
    **_LACKING,
    "negative": "needs negatives; add a miner under 'reranker.negatives', or name the source's column of negatives",
    "teacher_score": "needs a teacher's scores; add reranker.negatives with a guard whose teach is true",
}


def _columns(recipe: Recipe) -> frozenset[str]:
    columns: set[str] = set(recipe.source.columns_given())
    if recipe.generator:
        columns.add("positive")
    if recipe.negatives:
        columns |= recipe.negatives.columns_given()
    return frozenset(columns)


def _evaluation_problems(recipe: Recipe) -> Iterator[Problem]:
    splits = recipe.source.splits_given()
    trainer, evaluators = recipe.trainer, recipe.evaluator
    yield from _split_problems(recipe, splits)
    if trainer is None:
        if not evaluators and not recipe.deployer and recipe.loss is None and recipe.reranker is None:
            yield Problem((), "nothing to do: add a loss and a trainer, an evaluator or a deployer")
        return
    for stage in (trainer, recipe.merge):
        watched = stage.watched_split() if stage else None
        if stage and watched and splits is not None and watched not in splits:
            yield Problem((stage.kind,), f"evaluates on the '{watched}' split, but {_only(splits)}; {_HOLD_OUT}")
    if recipe.merge and recipe.merge.watched_split() and not evaluators:
        yield Problem(("merge",), f"'{recipe.merge.type}' chooses by an evaluator, but the recipe has none")
    metric = trainer.watched_metric()
    if metric and not evaluators:
        yield Problem(("trainer",), f"chooses its best model by '{metric}', but the recipe has no evaluator")
    names = evaluators[0].metrics() if evaluators else None
    if metric and names is not None and metric not in names:
        yield Problem(("trainer", "metric_for_best_model"), f"no evaluator produces '{metric}'{suggest(metric, names)}")
    metric = recipe.merge.watched_metric() if recipe.merge else None
    if metric and names is not None and metric not in names:
        yield Problem(("merge", "metric"), f"the first evaluator does not measure '{metric}'{suggest(metric, names)}")


def _split_problems(recipe: Recipe, splits: frozenset[str] | None) -> Iterator[Problem]:
    scored = [*ROLES, *(embedder.role for embedder in recipe.compare_with)]
    for index, evaluator in enumerate(recipe.evaluator):
        for name in sorted(set(evaluator.models_named()).difference(scored)):
            yield Problem(("evaluator", index, "require"), f"no model '{name}' is scored{suggest(name, scored)}")
        needed = evaluator.split_needed()
        if needed and "positive" not in _columns(recipe):
            yield Problem(("evaluator", index), f"'{evaluator.type}' {_LACKING['positive']}")
        elif needed and splits is not None and needed not in splits:
            yield Problem(("evaluator", index), f"scores the '{needed}' split, but {_only(splits)}; {_HOLD_OUT}")


def _comparison_problems(recipe: Recipe) -> Iterator[Problem]:
    taken = [*ROLES, "comparison"]
    for index, stage in enumerate(recipe.compare_with):
        path = ("compare_with", index)
        if stage.role in taken:
            yield Problem(path, f"the name '{stage.role}' is taken already; give this model a 'name' of its own")
        taken.append(stage.role)
        if not any(evaluator.only_encodes for evaluator in recipe.evaluator):
            yield Problem(path, "is scored by none of the recipe's evaluators; add information_retrieval or another")


def _trained(recipe: Recipe) -> bool:
    return bool(recipe.reranker and recipe.reranker.loss and recipe.reranker.trainer)


def _reranker_problems(recipe: Recipe) -> Iterator[Problem]:
    for index, deployer in enumerate(recipe.deployer):
        if deployer.deploys == "reranker" and not _trained(recipe):
            yield Problem(("deployer", index, "deploys"), "there is no reranker to deploy: the recipe trains none")
        elif deployer.deploys == "reranker" and not deployer.takes_rerankers:
            yield Problem(("deployer", index, "deploys"), f"'{deployer.type}' cannot make a reranker available")
    for index, evaluator in enumerate(recipe.evaluator):
        limits = getattr(evaluator, "require", ())
        if recipe.reranker is None and any(getattr(limit, "reranked", False) for limit in limits):
            yield Problem(("evaluator", index, "require"), "the recipe has no reranker to be judged with; add one")
    if recipe.reranker:
        yield from _pair_problems(recipe, recipe.reranker)
        yield from _reranker_training_problems(recipe, recipe.reranker)


def _pair_problems(recipe: Recipe, reranker: Reranker) -> Iterator[Problem]:
    kept = [evaluator.ranks() for evaluator in recipe.evaluator if evaluator.ranks()]
    if not kept and not _trained(recipe):
        yield Problem(("reranker",), "is neither trained nor judged; add information_retrieval under 'evaluator'")
    if kept and reranker.depth > min(kept):
        yield Problem(
            ("reranker", "depth"),
            f"{reranker.depth} passages are to be re-ordered, but the evaluator keeps {min(kept)} of each query; add "
            f"{reranker.depth} to its cut-offs, as in precision_recall_at_k: [10, {reranker.depth}]",
        )


def _reranker_training_problems(recipe: Recipe, reranker: Reranker) -> Iterator[Problem]:
    loss, trainer, splits = reranker.loss, reranker.trainer, recipe.source.splits_given()
    if loss:
        columns = _columns(recipe) | (reranker.negatives.columns_given() if reranker.negatives else frozenset())
        graded = loss.fed() == "judged_pairs" and "score" in columns
        for column in () if graded else sorted(NEEDED[loss.fed()] - columns):
            yield Problem(("reranker", "loss"), f"'{loss.type}' {_RERANKER_LACKING[column]}")
    if loss and trainer:
        if splits is not None and "train" not in splits:
            yield Problem(("reranker", "trainer"), f"learns from the 'train' split, but {_only(splits)}")
        if reason := trainer.refuses(loss):
            yield Problem(("reranker", "trainer"), reason)


_HOLD_OUT = "hold queries out with source.holdout"


def _only(splits: frozenset[str]) -> str:
    return f"the source makes only {', '.join(sorted(splits))}"
