"""`embedrun compare`: two runs side by side."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from embedrun import Command
from embedrun import console as consoles
from embedrun.artifacts import Scores
from embedrun.cli import places
from embedrun.errors import UserError
from embedrun.plan import ROLES, named
from embedrun.record import RunRecord, find_run
from embedrun.running import Loaded
from embedrun.stages import Context


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    parser.add_argument("second", metavar="RUN")
    places(parser)


def run(arguments: Namespace) -> int:
    folders = [find_run(name, arguments.runs) for name in (arguments.first, arguments.second)]
    print(compare_runs(*map(RunRecord.read, folders)))
    return 0


def compare_runs(first: RunRecord, second: RunRecord) -> str:
    """Compare the last model of each run, evaluator by evaluator, with intervals where the queries are the same.

    Raises UserError where the two runs have no evaluator in common.
    """
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


COMPARE = Command("compare", "Compare the models of two runs.", configure, run)
