"""Two runs side by side."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from embedrun import console as consoles
from embedrun.artifacts import Scores
from embedrun.errors import UserError
from embedrun.plan import ROLES, named
from embedrun.record import RunRecord
from embedrun.stages import Context


def compare_runs(first: RunRecord, second: RunRecord) -> str:
    """Compare the last model of each run, evaluator by evaluator, with intervals where the queries are the same.

    Raises UserError where the two runs have no evaluator in common.
    """
    from embedrun.running import Loaded

    recipe = Loaded.read(second.folder / "recipe.lock.json").recipe
    parts = [f"first:  {first.folder}\nsecond: {second.folder}"]
    for slot, judge in named(recipe.evaluator):
        name = slot.removeprefix("evaluator.")
        ones, others = first.scores.get(name, {}), second.scores.get(name, {})
        if not ones or not others:
            continue
        one, other = _last(ones), _last(others)
        pair = {"first": ones[one], "second": others[other]}
        folders = [run.artifact(f"{slot}.{role}") for run, role in ((first, one), (second, other))]
        rows = []
        if folders[0] and folders[1]:
            with TemporaryDirectory() as scratch:
                ctx = Context(out=Path(scratch), state=Path(scratch))
                rows = judge.compare(ctx, {"base": Scores(folders[0]), "second": Scores(folders[1])}).rows
        shown = [metric for metric in judge.headline(list(pair["second"])) if metric in pair["first"]]
        parts.append(f"{name} (first: {one}, second: {other})\n{consoles.comparison_table(pair, rows, shown)}")
    if len(parts) == 1:
        raise UserError(f"{first.folder} and {second.folder}: no evaluator scored both")
    return "\n\n".join(parts)


def _last(scores: dict[str, dict[str, float]]) -> str:
    return max(scores, key=ROLES.index)
