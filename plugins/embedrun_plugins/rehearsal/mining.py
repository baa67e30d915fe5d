"""Rehearsals of the miners."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedrun.stages import Miner
from embedrun_plugins.rehearsal.changing import changed
from embedrun_plugins.rehearsal.lenient import lenient_miner
from embedrun_plugins.rehearsal.others import model_for
from embedrun_plugins.rehearsal.telling import tell

if TYPE_CHECKING:
    from embedrun_plugins.negatives.options import Mining

_PER_QUERY = 2
_LIMITS = ("min_score", "max_score", "absolute_margin", "relative_margin")


def few_negatives(stage: Mining, folder: Path) -> Miner:
    """Return a miner of a few negatives, whose limits are loosened where they leave none."""
    judges = {name: judge for name in ("guard", "audit") if (judge := getattr(stage, name))}
    for name, judge in judges.items():
        if judge.model:
            model = model_for(f"{name}.model", judge.model, judge.revision, folder, scores=True)
            judges[name] = judge.model_copy(update={"model": model, "revision": None})
    if stage.audit:
        judges["audit"] = judges["audit"].model_copy(update={"max_share": None})
    per_query = min(stage.per_query, _PER_QUERY)
    if per_query < stage.per_query:
        tell(folder, f"per_query: {per_query} in place of {stage.per_query}")
    own = changed(stage, per_query=per_query, **judges)
    free = {name: None for name in (*_LIMITS, "guard") if name in type(stage).model_fields}
    if stage.guard and stage.guard.teach:
        free.pop("guard")
    return lenient_miner(own, changed(own, range=(0, stage.range[1]), **free))
