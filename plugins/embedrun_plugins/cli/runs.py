"""`embedrun runs`: the runs of a folder, with their scores."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from embedrun import UserError
from embedrun.errors import suggest
from embedrun_plugins.cli import arguments as options
from embedrun_plugins.cli.console import say, table
from embedrun_plugins.results.runs import Overview, overviews

_FIXED = ("run", "started", "status", "model")


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="only runs of the recipe of this name")
    parser.add_argument(
        "--sort", metavar="METRIC", help="best first by this metric, such as ndcg@10; else newest first"
    )
    parser.add_argument("--json", action="store_true", help="print a line of JSON for each run")
    options.runs(parser)


def run(arguments: Namespace) -> int:
    listed = list(overviews(arguments.runs, arguments.name))
    if not listed:
        raise UserError(f"{arguments.name or arguments.runs}: no run here{_hint(arguments)}")
    metrics = list(dict.fromkeys(metric for one_run in listed for metric in one_run.headlines))
    if arguments.sort:
        listed = _sorted(listed, arguments.sort)
        metrics = [arguments.sort, *(metric for metric in metrics if metric != arguments.sort)]
    if arguments.json:
        for overview in listed:
            print(json.dumps(overview.dump()))
        return 0
    rows = [_row(overview, metrics[:3]) for overview in listed]
    say(table([*_FIXED, *metrics[:3], "against base"], rows, left=True))
    return 0


def _hint(arguments: Namespace) -> str:
    names = {overview.name for overview in overviews(arguments.runs, None)}
    return suggest(arguments.name, names) if arguments.name and names else ""


def _sorted(listed: Sequence[Overview], metric: str) -> list[Overview]:
    known = {name for overview in listed for name in overview.scores}
    if metric not in known:
        raise UserError(f"--sort: no run has a metric '{metric}'{suggest(metric, known)}")
    return sorted(listed, key=lambda overview: -overview.scores.get(metric, float("-inf")))


def _row(overview: Overview, metrics: Sequence[str]) -> list[str]:
    values = [f"{overview.scores[metric]:.4f}" if metric in overview.scores else "" for metric in metrics]
    verdict = overview.verdict or ""
    difference = f"{overview.difference:+.4f} " if overview.difference is not None else ""
    return [overview.id, overview.started, overview.status, overview.role or "", *values, f"{difference}{verdict}"]
