"""Rehearsals of the mergers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedrun_plugins.rehearsal.changing import changed
from embedrun_plugins.rehearsal.telling import tell

if TYPE_CHECKING:
    from embedrun_plugins.mergers.linear import Linear
    from embedrun_plugins.mergers.search import Search

_SHARES = 3


def two_models(stage: Linear, folder: Path) -> Linear:
    """Return the merger without its further models, whose architecture a stand-in may not have."""
    if not stage.models:
        return stage
    tell(
        folder,
        f"{', '.join(other.model for other in stage.models)}: left out, so whether they fit is not known",
        unsure=True,
    )
    given = stage.base + stage.tuned
    base = stage.base / given if given else 0.5
    return changed(stage, base=base, tuned=1 - base, models=())


def few_shares(stage: Search, folder: Path) -> Search:
    """Return the merger with the first, the middle and the last of the shares that it tries."""
    weights = stage.weights
    if len(weights) <= _SHARES:
        return stage
    tell(folder, f"{_SHARES} of {len(weights)} weights are tried")
    return changed(stage, weights=(weights[0], weights[len(weights) // 2], weights[-1]))
