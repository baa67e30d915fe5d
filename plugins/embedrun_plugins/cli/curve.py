"""`embedrun curve`: the same recipe on growing shares of its training data, and what more data would bring."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedrun import RetrievalSet, RunRecord, Scores
from embedrun.console import Console
from embedrun.errors import EmbedrunError, RequirementError, UserError
from embedrun.execution import Loaded, execute
from embedrun.store import Store
from embedrun_plugins.cli import console as terminal
from embedrun_plugins.cli.arguments import count, device, overrides, places, recipe, settings_of
from embedrun_plugins.cli.console import say, table
from embedrun_plugins.cli.score_tables import short
from embedrun_plugins.results import roles
from embedrun_plugins.results.learning_curve import CurvePoint, LearningCurve, extrapolated

_FEWEST = 2


def _shares(text: str) -> tuple[float, ...]:
    try:
        shares = sorted({float(part) for part in text.split(",")})
    except ValueError as error:
        raise ArgumentTypeError(f"'{text}' are no shares; give numbers, such as 0.125,0.25,0.5,1") from error
    if not all(0 < share <= 1 for share in shares) or len(shares) < _FEWEST:
        raise ArgumentTypeError(f"'{text}': give two or more shares above 0 and up to 1, such as 0.125,0.25,0.5,1")
    return tuple(shares)


def configure(parser: ArgumentParser) -> None:
    recipe(parser)
    help_shares = "shares of the training queries, each a part of the next (0.125,0.25,0.5,1)"
    parser.add_argument("--shares", type=_shares, default=(0.125, 0.25, 0.5, 1.0), metavar="SHARES", help=help_shares)
    parser.add_argument("--plan", action="store_true", help="only show what it would take")
    help_seeds = "train each share so many times: how much chance does is then known"
    parser.add_argument("--seeds", type=count, metavar="COUNT", help=help_seeds)
    parser.add_argument("--device", type=device, metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument("--on", metavar="RUNTIME", help="where to run; short for --set runtime.type=RUNTIME")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    places(parser)


def run(arguments: Namespace) -> int:
    console = terminal.console()
    recipes = {share: _loaded(arguments, share) for share in arguments.shares}
    console.say(_cost(arguments, recipes))
    if arguments.plan:
        return 0
    records = {}
    for share, loaded in recipes.items():
        console.say(f"share {share:g} of the training data")
        records[share] = _record_of(arguments, loaded, console)
    curve = _curve(records)
    folder = list(records.values())[-1].folder
    _write(folder, curve)
    say(_shown(curve))
    console.say(f"report: {short(folder)}/curve.html")
    if arguments.json:
        print(json.dumps({"run": str(folder), **curve.dump()}))
    return 0


def _loaded(arguments: Namespace, share: float) -> Loaded:
    """Read the recipe with a share of its training data and without its deployers. Raises UserError where it cannot."""
    changes = {**overrides(arguments), "trainer.share": repr(share)}
    if arguments.on:
        changes["runtime.type"] = arguments.on
    if arguments.seeds:
        changes["seeds"] = str(arguments.seeds)
    plain = Loaded.read(arguments.recipe, {**overrides(arguments)})
    if plain.recipe.trainer is None or not plain.recipe.evaluator:
        raise UserError(f"{arguments.recipe}: a learning curve needs a trainer and an evaluator")
    if "share" not in type(plain.recipe.trainer).model_fields:
        raise UserError(f"{arguments.recipe}: the trainer '{plain.recipe.trainer.type}' has no 'share' of its data")
    if plain.recipe.deployer:
        changes["deployer"] = "[]"
    return Loaded.read(arguments.recipe, changes)


def _cost(arguments: Namespace, recipes: Mapping[float, Loaded]) -> str:
    """Say what each share takes, as far as it is known, and what is there already."""
    settings, rows = settings_of(arguments), []
    trained = 0.0
    for share, loaded in recipes.items():
        loaded.require()
        plan = loaded.plan(settings)
        known = list(zip(plan.steps, plan.forecast(Store(settings.store_folder)), strict=True))
        sets = {step.slot: RetrievalSet(k.stored.out) for step, k in known if k.stored and _is_set(k.stored.out)}
        trainings = [(step, k.stored) for step, k in known if step.slot.split(".")[0] == "trainer"]
        missing = [step for step, stored in trainings if not stored]
        steps = [step.forecast(sets.get(step.needs["data"])).get("optimizer steps") for step in missing]
        trained += share * len(missing)
        status = f"{len(missing)} to train" if missing else "all trained already"
        rows.append([f"{share:g}", status, ", ".join(f"{count} steps" for count in steps if count)])
    shared = "everything before the training is made once, and so are the base's scores"
    total = f"together {trained:g} times a training on all of the data; {shared}"
    return f"{table(['share', 'trainings', ''], rows, left=True)}\n{total}"


def _is_set(folder: Path) -> bool:
    return (folder / "corpus.jsonl").exists()


def _record_of(arguments: Namespace, loaded: Loaded, console: Console) -> RunRecord:
    """Run a share's recipe; a limit that does not hold is no reason to stop. Raises what stops it otherwise."""
    record, stopped = execute(loaded, settings_of(arguments), console)
    if isinstance(stopped, EmbedrunError) and not isinstance(stopped, RequirementError):
        raise stopped
    return record


def _curve(records: Mapping[float, RunRecord]) -> LearningCurve:
    """Read the curve from the runs of its shares, by the first evaluator's first metric."""
    from embedrun_plugins.stages.evaluators.query_units import QueryUnits

    last = list(records.values())[-1]
    evaluator = next(iter(last.scores))
    metric, role = last.headlines[evaluator][0], roles.last(last.scores[evaluator])
    counts = [_queries(share, record) for share, record in records.items()]
    points = [
        _point(share, count, record, evaluator, (metric, role))
        for (share, record), count in zip(records.items(), counts, strict=True)
    ]
    trainings = [_by_query(record, evaluator, metric, role) for record in records.values()]
    folder = last.artifact(f"evaluator.{evaluator}.{role}")
    if folder is None or not all(trainings):
        raise UserError(f"{last.folder}: its scores are no longer in the store; run the same command again")
    doubling, check, queries, units = extrapolated(counts, trainings, QueryUnits.read(folder).units)
    carried_out: dict[str, int] = {}
    for record in records.values():
        for stage in record.stages():
            carried_out[stage.slot] = carried_out.get(stage.slot, 0) + (not stage.cached)
    return LearningCurve(
        last.name,
        evaluator,
        metric,
        role,
        points,
        queries,
        units,
        doubling,
        check,
        {k: n for k, n in carried_out.items() if n},
    )


def _queries(share: float, record: RunRecord) -> int:
    """Return how many queries a share was trained on."""
    slots = [stage for stage in record.stages() if stage.slot == "trainer"]
    noted = next((stage.notes["share_queries"] for stage in slots if "share_queries" in stage.notes), None)
    if noted is not None:
        return int(noted)
    kinds = ("source", "generator", "filters")
    folder = record.artifact([stage.slot for stage in record.stages() if stage.kind in kinds][-1])
    if folder is None:
        raise UserError(f"{record.folder}: the data of share {share:g} is no longer in the store")
    return len(RetrievalSet(folder).relevant("train"))


def _point(share: float, queries: int, record: RunRecord, evaluator: str, named: tuple[str, str]) -> CurvePoint:
    metric, role = named
    rows = record.comparisons.get(evaluator, ())
    row: Mapping[str, Any] = next(
        (r for r in rows if (r["metric"], r["role"], r.get("against", "base")) == (metric, role, "base")), {}
    )
    over = row.get("over_seeds") or row
    scores = record.scores[evaluator]
    base, difference = scores["base"][metric], over.get("difference", scores[role][metric] - scores["base"][metric])
    cached = all(stage.cached for stage in record.stages() if stage.slot.split(".")[0] == "trainer")
    ends = over.get("low"), over.get("high"), over.get("verdict")
    return CurvePoint(share, queries, str(record.folder), base, base + difference, difference, *ends, cached)


def _by_query(record: RunRecord, evaluator: str, metric: str, role: str) -> list[Mapping[str, float]]:
    """Return the scores by query of the model of each seed."""
    names = roles.of_seeds(record.scores[evaluator], role)
    folders = [record.artifact(f"evaluator.{evaluator}.{name}") for name in names]
    return [Scores(folder).per_query[metric] for folder in folders if folder]


def _shown(curve: LearningCurve) -> str:
    header = ["share", "queries", "base", curve.role, "difference", "95% interval", "verdict"]
    rows: list[Sequence[str]] = []
    for point in curve.points:
        interval = f"{point.low:+.4f} to {point.high:+.4f}" if point.low is not None and point.high is not None else ""
        figures = [f"{value:.4f}" for value in (point.base, point.model)]
        row = [f"{point.share:g}", f"{point.queries:,}", *figures, f"{point.difference:+.4f}", interval]
        rows.append([*row, point.verdict or ""])
    lines = [f"{curve.metric} by {curve.evaluator}", table(header, rows), *curve.sentences()]
    return "\n".join(lines)


def _write(folder: Path, curve: LearningCurve) -> None:
    from embedrun import plain_files
    from embedrun_plugins.results.report import curve_page

    plain_files.write_json(folder / "curve.json", curve.dump())
    plain_files.write_text(folder / "curve.html", curve_page.page(curve))
