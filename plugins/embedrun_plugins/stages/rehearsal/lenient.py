"""Stages that a handful of rows may leave nothing to: tried with their own values, then passed over or loosened."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun.stage import Stage
from embedrun.stages import Filter, Miner

NOTE = "rehearsed otherwise"
"""Name of the note that says so."""


class LenientFilter(Filter):
    """A filter that takes nothing out where it would leave nothing."""

    type: str
    seeded = False
    stage: Any
    """The recipe's filter."""

    def uses_model(self) -> bool:
        return bool(self.stage.uses_model())

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        try:
            result: RetrievalSet = self.stage.run(ctx, data)
        except DataError as error:
            _tell(ctx, f"removed nothing, since it would leave none of so few rows: {error}")
            _empty(ctx.out)
            shutil.copytree(data.path, ctx.out, dirs_exist_ok=True)
            return RetrievalSet(ctx.out)
        return result


class LenientMiner(Miner):
    """A miner that mines without its limits where they leave nothing of a handful of rows."""

    type: str
    stage: Any
    """The recipe's miner."""
    loosened: Any
    """The same without limits."""

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> RetrievalSet:
        try:
            result: RetrievalSet = self.stage.run(ctx, data, model)
        except DataError as error:
            _tell(
                ctx, f"mined again from the first rank and without limits, since none of so few rows was left: {error}"
            )
            _empty(ctx.out)
            result = self.loosened.run(ctx, data, model)
        return result


def _tell(ctx: Context, sentence: str) -> None:
    ctx.warn(sentence)
    ctx.note(NOTE, sentence)


def lenient_filter(stage: Filter) -> Filter:
    return LenientFilter(type=stage.type, stage=stage)


def lenient_miner(stage: Miner, loosened: Miner) -> Miner:
    return LenientMiner(type=stage.type, stage=stage, loosened=loosened)


def _empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def inner(stage: Stage) -> Stage:
    """Return the recipe's own stage."""
    return stage.stage if isinstance(stage, (LenientFilter, LenientMiner)) else stage
