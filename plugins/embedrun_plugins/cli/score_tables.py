"""What commands show of a run: its scores as tables, where its model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedrun import RunRecord
from embedrun_plugins.cli.console import table
from embedrun_plugins.results import roles
from embedrun_plugins.results.caveats import caveats, headline
from embedrun_plugins.results.comparison import of_run
from embedrun_plugins.results.funnel import HEADER, agreement_sentences, funnel
from embedrun_plugins.results.phrases import basis


def report(record: RunRecord) -> str:
    """Return the tables of a run's scores."""
    parts = []
    for name, scores in record.scores.items():
        models, rivals = ({role: scores[role] for role in part(scores)} for part in (roles.own, roles.rivals))
        metrics = list(models["base"])
        shown = [m for m in record.headlines.get(name, metrics) if m in metrics]
        rows = record.comparisons.get(name, [])
        parts.append(f"\n{name}\n{comparison_table(models, rivals, rows, shown)}{_qualified(record, name)}\n")
        if pairs := roles.pairs(scores):
            parts.append(f"\n{_reranked(record, name)}\n{pairs_table(scores, pairs, rows, shown)}\n")
    parts += [f"\n{text}\n" for text in (_questions(record),) if text]
    return "".join(parts).strip("\n")


def _qualified(record: RunRecord, name: str) -> str:
    """Return the headline's verdict with what the data take away from it; nothing where they do not."""
    contest = next((contest for contest in of_run(record) if contest.name == name), None)
    clauses = caveats(record, contest) if contest else []
    row = contest.row(contest.headline, contest.last) if contest else None
    return f"\n{headline(str(row['verdict']), clauses)}" if clauses and row and row.get("verdict") else ""


def _questions(record: RunRecord) -> str:
    """Return what became of generated questions, and what they cost; nothing where no language model was asked."""
    steps = funnel(record)
    lines = [table(HEADER, [step.cells() for step in steps])] if steps else []
    return "\n".join(["questions", *lines, *agreement_sentences(record)]) if steps else ""


def _by_style(rows: Sequence[Mapping[str, Any]], last: str, first: str) -> str:
    """Return the headline's values by style of the query, where queries have any."""
    pairs = (row for row in rows if (row["role"], row.get("against", "base")) == (last, first) and row.get("by_style"))
    row = next(pairs, None)
    if row is None:
        return ""
    lines = [
        [
            part["style"],
            f"{part['queries']:,}",
            *(_figure(part[end]) for end in ("base", "model")),
            f"{part['difference']:+.4f}",
            f"{part['low']:+.4f} to {part['high']:+.4f}" if part.get("low") is not None else "",
        ]
        for part in row["by_style"]
    ]
    return table([f"{row['metric']} by style", "queries", first, last, "difference", "95% interval"], lines)


Metrics = Mapping[str, Mapping[str, float]]
"""Values by model and metric."""


def comparison_table(models: Metrics, rivals: Metrics, rows: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> str:
    """Show models and rivals side by side, how the last model differs from the first, and how from each rival."""
    first, last = next(iter(models)), list(models)[-1]
    compared = _Differences(rows, last, first) if last != first else None
    lines = []
    for metric in shown:
        figures = [_figure(metrics.get(metric)) for metrics in (*models.values(), *rivals.values())]
        lines.append([metric, *figures, *(compared.cells(metric) if compared else ())])
    parts = [table(["", *models, *rivals, *(compared.header if compared else ())], lines)]
    if compared:
        parts[0] = "\n".join([parts[0], *basis(compared.by_metric.values())])
        parts += filter(None, [_by_style(rows, last, first)])
    for rival in rivals:
        found = _Differences(rows, last, rival)
        # Without verdicts, the differences are plain to see.
        judged = [metric for metric in shown if found.by_metric.get(metric, {}).get("verdict")]
        if known := [[metric, *found.cells(metric)] for metric in judged]:
            parts.append(table([f"{last} against {rival}", *found.header], known))
    return "\n\n".join(parts)


def pairs_table(scores: Metrics, pairs: Sequence[str], rows: Sequence[Mapping[str, Any]], shown: Sequence[str]) -> str:
    """Show each model alone and with the reranker, then how each pair differs from what it is judged against."""
    lines = []
    for embedder in dict.fromkeys(map(roles.embedder_of, pairs)):
        models = (embedder, *(pair for pair in pairs if roles.embedder_of(pair) == embedder))
        lines += [[role, *(_figure(scores[role].get(metric)) for metric in shown)] for role in models]
    verdicts = []
    for pair in pairs:
        for opponent in roles.opponents(pair, scores):
            judged = _Differences(rows, pair, opponent)
            verdicts.append([f"{pair} against {opponent}", *judged.cells(shown[0])])
    header = ("difference", "95% interval", "verdict")
    return f"{table(['', *shown], lines)}\n\n{table([shown[0], *header], [line[:4] for line in verdicts])}"


def _reranked(record: RunRecord, name: str) -> str:
    """Say how many passages were put in a new order, and what no order of them can exceed."""
    scored = (stage for stage in record.stages() if stage.slot.startswith(f"evaluator.{name}.") and not stage.error)
    notes = [stage.notes for stage in scored if roles.pairs([stage.slot])]
    if not notes:
        return f"{name}, re-ordered"
    depth, ceiling, waits = (notes[-1][name] for name in ("depth", "ceiling", "milliseconds_per_query"))
    reach = f"at most recall@{depth} {ceiling:.4f} can come of it; {waits[str(depth)]:,.0f} ms for a query here"
    return f"{name}, the first {depth} in the reranker's order: {reach}"


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


class _Differences:
    """How one model differs from another, metric by metric, as cells of a table."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], role: str, against: str) -> None:
        pairs = [row for row in rows if (row["role"], row.get("against", "base")) == (role, against)]
        self.by_metric = {row["metric"]: row for row in pairs}
        self.seeded = any(row.get("over_seeds") for row in pairs)
        self.header = ("difference", "95% interval", "verdict", *(["over seeds"] if self.seeded else []))

    def cells(self, metric: str) -> list[str]:
        row = self.by_metric.get(metric, {})
        interval = f"{row['low']:+.4f} to {row['high']:+.4f}" if row.get("low") is not None else ""
        difference = f"{row['difference']:+.4f}" if row.get("difference") is not None else ""
        cells = [difference, interval, str(row.get("verdict") or "")]
        return [*cells, _over_seeds(row.get("over_seeds"))] if self.seeded else cells


def _over_seeds(over: Mapping[str, Any] | None) -> str:
    """Show the mean difference over trainings, and the standard deviation of the model's from seed to seed."""
    if not over:
        return ""
    spread = over["model_spread"] if over["model_spread"] is not None else over["base_spread"]
    return f"{over['difference']:+.4f} ± {spread:.4f}"


def short(path: Path) -> Path:
    """Return a path from here, where it is below here."""
    return path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path
