"""The report's part on rerankers: each model with and without one, the curve over depth, and the questions it lost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from embedrun.record import RunRecord
from embedrun_plugins.results import comparison, roles
from embedrun_plugins.results.comparison import Contender, Contest, spoken
from embedrun_plugins.results.phrases import NOTHING, figure, interval, signed, verdict
from embedrun_plugins.results.report import cases
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table
from embedrun_plugins.results.report.palette import SERIES
from embedrun_plugins.results.report.plots import Series, lines

CURVE = "depths.json"


def reranked(run: RunRecord) -> Markup:
    """Return what a run's reranker made of what its models find; nothing where it has none."""
    content: list[Content] = []
    for contest in comparison.of_run(run):
        if pair := roles.last_pair(run.scores[contest.name]):
            content += list(_of_contest(run, contest, pair))
    return section("reranker", "With the reranker", *content) if content else Markup()


def _of_contest(run: RunRecord, contest: Contest, last: str) -> Iterator[Content]:
    scores = run.scores[contest.name]
    pairs = {pair: _contender(run, contest, pair) for pair in roles.pairs(scores)}
    alone = {contender.name: contender for contender in contest.contenders}
    for pair in [name for name in pairs if roles.embedder_of(name) == roles.embedder_of(last)]:
        against = alone[roles.embedder_of(pair)]
        sentence = verdict(replace(contest, contenders=(against, pairs[pair])), None, contest.headline, pairs[pair])[1]
        yield element("p", sentence)
    yield _scores(contest, alone, pairs)
    yield _verdicts(contest, pairs, scores)
    yield from _curve(run, contest, last)
    yield from _cases(contest, alone[roles.embedder_of(last)], pairs[last])


def _contender(run: RunRecord, contest: Contest, pair: str) -> Contender:
    folder = run.artifact(f"evaluator.{contest.name}.{pair}")
    return Contender(pair, run.scores[contest.name][pair], folder, None, pair)


def _scores(contest: Contest, alone: Mapping[str, Contender], pairs: Mapping[str, Contender]) -> Markup:
    rows = []
    for name, contender in alone.items():
        models = (contender, *(pair for role, pair in pairs.items() if roles.embedder_of(role) == name))
        rows += [[m.name, *(figure(m.metrics.get(metric), 4) for metric in contest.headlines)] for m in models]
    return table(
        f"Each model alone and re-ordered, by {contest.name}", ["model", *map(spoken, contest.headlines)], rows
    )


def _verdicts(contest: Contest, pairs: Mapping[str, Contender], scores: Sequence[str] | Mapping[str, Any]) -> Markup:
    by_name = {(row["metric"], row["role"], row["against"]): row for row in contest.rows if "against" in row}
    rows = []
    for pair in pairs:
        for opponent in roles.opponents(pair, scores):
            row = by_name.get((contest.headline, pair, opponent), {})
            won = f"{row['won']:,} / {row['lost']:,}" if row.get("won") is not None else NOTHING
            figures = [
                signed(row.get("difference"), 4),
                interval(row) or NOTHING,
                str(row.get("verdict") or NOTHING),
                won,
            ]
            rows.append([f"{pair} against {opponent}", *figures])
    header = ["pair", "difference", "95% interval", "verdict", "won / lost"]
    return table(f"Verdicts on the pairs by {spoken(contest.headline)}", header, rows)


def _curve(run: RunRecord, contest: Contest, pair: str) -> Iterator[Content]:
    """Yield what each depth gains and costs."""
    slot = f"evaluator.{contest.name}.{pair}"
    folder = run.artifact(slot)
    if folder is None or not (folder / CURVE).is_file():
        return
    points = json.loads((folder / CURVE).read_text("utf-8"))["points"]
    notes: Mapping[str, Any] = next((stage.notes for stage in run.stages() if stage.slot == slot), {})
    waits: Mapping[str, float] = notes.get("milliseconds_per_query") or {}
    headline = contest.headline
    curve = [(float(point["depth"]), float(point["metrics"][headline])) for point in points]
    limit = [(float(point["depth"]), float(point["ceiling"])) for point in points]
    described = "; ".join(f"{depth:g}: {figure(value)}" for depth, value in curve)
    title = f"{spoken(headline)} by depth"
    yield element("h3", title)
    if len(curve) > 1:
        series = [Series(spoken(headline), curve, SERIES[1]), Series("recall of the first stage", limit, SERIES[0])]
        yield lines("depth-curve", title, f"{described}. All figures are in the table below.", series, "depth")
    rows = [
        [
            f"{point['depth']:,}",
            figure(point["metrics"][headline], 4),
            figure(point["ceiling"], 4),
            f"{waits[str(point['depth'])]:,.1f}" if str(point["depth"]) in waits else NOTHING,
        ]
        for point in points
    ]
    yield table(
        f"What each depth gains and costs, {pair}", ["depth", spoken(headline), "ceiling", "ms per query"], rows
    )


def _cases(contest: Contest, alone: Contender, pair: Contender) -> Iterator[Content]:
    """Yield the questions that the reranker gained and lost."""
    won, lost = cases.changed(replace(contest, contenders=(alone, pair)))
    for heading, group in (("The reranker gained most", won), ("The reranker lost most", lost)):
        if group:
            yield element("h3", heading)
            yield element("ol", [element("li", cases.shown(case, pair.name)) for case in group], class_="cases")
