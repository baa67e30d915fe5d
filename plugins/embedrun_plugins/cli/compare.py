"""`embedrun compare`: the last models of two runs, with intervals where both answered the same queries."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from embedrun.artifacts import Scores
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.record import RunRecord
from embedrun.registry import Registry
from embedrun.stages import Evaluator
from embedrun.steps import named
from embedrun_plugins.cli.arguments import places
from embedrun_plugins.cli.console import say
from embedrun_plugins.cli.score_tables import comparison_table
from embedrun_plugins.results.comparison import Contender, Contest, judged_set, vector_size
from embedrun_plugins.results.roles import last, of_seeds
from embedrun_plugins.results.runs import find_run


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("first", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    parser.add_argument("second", metavar="RUN")
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a report of the comparison")
    places(parser)


def run(arguments: Namespace) -> int:
    folders = [find_run(name, arguments.runs) for name in (arguments.first, arguments.second)]
    first, second = map(RunRecord.read, folders)
    compared = compare_runs(first, second)
    say("\n\n".join([f"first:  {first.folder}\nsecond: {second.folder}", *map(_shown, compared)]))
    if arguments.html:
        _write(arguments.html, first, second, compared)
    return 0


def compare_runs(first: RunRecord, second: RunRecord) -> list[Contest]:
    """Compare the last model of each run, evaluator by evaluator, with intervals where the queries are the same.

    Raises UserError where the two runs have no evaluator in common.
    """
    found = [
        _contest(first, second, name, evaluator)
        for name, evaluator in named(_evaluators(second))
        if all(run.scores.get(name) for run in (first, second))
    ]
    if not found:
        raise UserError(f"{first.folder} and {second.folder}: no evaluator scored both")
    return found


def _evaluators(run: RunRecord) -> list[Evaluator]:
    """Return a run's evaluators; what else it needed, such as documents or a token, may be gone."""
    registry = Registry(run.plugins_kept)
    context = registry.validation_context()
    try:
        return [Evaluator.model_validate(judge, context=context) for judge in run.recipe.get("evaluator") or ()]
    except ValidationError as error:
        raise UserError(f"{run.folder}: its evaluators cannot be read by this version: {error}") from error


def _contest(first: RunRecord, second: RunRecord, name: str, judge: Evaluator) -> Contest:
    one, other = (_contender(run, label, name) for run, label in ((first, "first"), (second, "second")))
    headlines = tuple(metric for metric in judge.headline(list(other.metrics)) if metric in one.metrics)
    scores = dict([*_trained(first, name, one, "base"), *_trained(second, name, other, "tuned")])
    rows = tuple(_rows(judge, scores, one, other))
    judged, split = judged_set(second) if judge.judges_data else None, judge.split_needed()
    metrics = headlines or tuple(one.metrics)
    return Contest(name, metrics, (one, other), rows, judged, split, elsewhere=not judge.judges_data)


def _contender(run: RunRecord, label: str, evaluator: str) -> Contender:
    scores = run.scores[evaluator]
    role = last(scores)
    parts = [scores[name] for name in of_seeds(scores, role)]
    metrics = {name: fmean(part[name] for part in parts) for name in scores[role]}
    folder = run.artifact(f"evaluator.{evaluator}.{role}")
    return Contender(label, metrics, folder, vector_size(run, run.recipe), role)


def _trained(run: RunRecord, evaluator: str, contender: Contender, role: str) -> Iterator[tuple[str, Scores]]:
    """Yield the scores of a run's last model over its seeds, named as those of another role."""
    for name in of_seeds(run.scores[evaluator], contender.role):
        if folder := run.artifact(f"evaluator.{evaluator}.{name}"):
            yield name.replace(contender.role, role, 1), Scores(folder)


def _rows(judge: Evaluator, scores: Mapping[str, Scores], one: Contender, other: Contender) -> Iterator[dict[str, Any]]:
    """Yield how the two runs differ; where they trained with several seeds, on average over these."""
    if one.scores is None or other.scores is None:
        return
    with TemporaryDirectory() as scratch:
        ctx = Context(out=Path(scratch), state=Path(scratch))
        for row in judge.compare(ctx, scores).rows:
            means = {"base": one.metrics[row["metric"]], "model": other.metrics[row["metric"]]}
            over = row.get("over_seeds") or {}
            kept = {name: value for name, value in over.items() if name in row}
            yield {**row, **(means if over else {}), **kept, "role": other.name, "against": one.name}


def _shown(contest: Contest) -> str:
    first, second = contest.contenders
    models = {contender.name: contender.metrics for contender in contest.contenders}
    table = comparison_table(models, {}, contest.rows, contest.headlines)
    return f"{contest.name} (first: {first.role}, second: {second.role})\n{table}"


def _write(file: Path, first: RunRecord, second: RunRecord, compared: Sequence[Contest]) -> None:
    from embedrun_plugins.results.report import report

    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(report.of_two(first, second, compared), "utf-8")
    except OSError as error:
        raise UserError(f"--html {file}: cannot be written: {error.strerror}") from error
    print(f"\nwrote {file}")
