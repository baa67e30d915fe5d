"""What commands show of a run: its scores as tables, where its model is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from embedrun import RunRecord
from embedrun.console import table


def report(record: RunRecord) -> str:
    """Return the tables of a run's scores."""
    data = record.data
    parts = []
    for name, scores in record.scores.items():
        metrics = list(next(iter(scores.values())))
        shown = [m for m in data.get("headlines", {}).get(name, metrics) if m in metrics]
        rows = data.get("comparisons", {}).get(name, [])
        parts.append(f"\n{name}\n{comparison_table(scores, rows, shown)}\n")
    return "".join(parts).strip("\n")


def comparison_table(
    scores: Mapping[str, Mapping[str, float]], rows: Sequence[Mapping[str, Any]], shown: Sequence[str]
) -> str:
    """Show base, tuned and difference with its interval and verdict, one line a metric."""
    roles = list(scores)
    if len(roles) == 1:
        return table(["", roles[0]], [[metric, _figure(scores[roles[0]].get(metric))] for metric in shown])
    header = ["", *roles, "difference", "95% interval", "verdict"]
    last = roles[-1]
    by_metric = {row["metric"]: row for row in rows if row["role"] == last}
    lines = []
    for metric in shown:
        row = by_metric.get(metric, {})
        interval = f"{row['low']:+.4f} to {row['high']:+.4f}" if row.get("low") is not None else ""
        difference = f"{row['difference']:+.4f}" if row.get("difference") is not None else ""
        figures = [_figure(scores[role].get(metric)) for role in roles]
        lines.append([metric, *figures, difference, interval, str(row.get("verdict") or "")])
    return table(header, lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def last_model(record: RunRecord) -> str:
    """Return the slot of the last model that a run made, or nothing."""
    made = [stage.slot for stage in record.stages() if stage.slot in ("trainer", "merge") and not stage.error]
    return made[-1] if made else ""


def short(path: Path) -> Path:
    """Return a path from here, where it is below here."""
    return path.resolve().relative_to(Path.cwd()) if path.resolve().is_relative_to(Path.cwd()) else path
