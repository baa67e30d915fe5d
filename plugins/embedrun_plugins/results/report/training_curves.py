"""Loss and scores while the model was trained."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from embedrun.record import RunRecord
from embedrun_plugins.results.comparison import spoken
from embedrun_plugins.results.phrases import figure
from embedrun_plugins.results.phrases import title as title_of
from embedrun_plugins.results.report.markup import Content, Markup, element, folded, section, table
from embedrun_plugins.results.report.palette import SERIES
from embedrun_plugins.results.report.plots import Series, lines

Points = list[tuple[float, float]]

_MOST_ROWS = 40
_WATCHED = ("ndcg@10", "loss")
"""What is shown of the evaluations where the recipe does not watch a metric, if it is there."""


@dataclass(frozen=True)
class History:
    """What one training told: the loss by step, and what was measured on the dev split."""

    name: str
    loss: Points
    dev: Points
    metric: str
    split: str
    best: int | None
    """The step of the checkpoint that was kept, where the best one was chosen."""


def history(run: RunRecord, name: str) -> History:
    """Return a run's training from the model's own history, or from the log where it did not come so far."""
    trainer = run.recipe.get("trainer") or {}
    entries = list(_entries(run))
    measured = {key.removeprefix("eval_") for entry in entries for key in entry if key.startswith("eval_")}
    wished = str(trainer.get("metric_for_best_model") or "").removeprefix("eval_")
    metric = next((name for name in (wished, *_WATCHED, *sorted(measured)) if name in measured), "")
    loss, dev = _whole(_points(entries, "loss")), _points(entries, f"eval_{metric}")
    noted = [stage.notes.get("best step") for stage in run.stages() if stage.slot == "trainer"]
    return History(name, loss, dev, metric, str(trainer.get("eval_split") or "dev"), next(iter(noted), None))


def _entries(run: RunRecord) -> Iterator[Mapping[str, Any]]:
    model = run.artifact("trainer")
    kept = model / "training_history.json" if model else None
    if kept and kept.is_file():
        yield from json.loads(kept.read_text("utf-8")).get("log", ())
        return
    log = run.folder / "log.jsonl"
    for line in log.read_text("utf-8").splitlines() if log.is_file() else ():
        entry = json.loads(line)
        if entry["event"] == "log":
            yield entry
        elif entry["event"] == "evaluation":
            yield {key if key == "step" else f"eval_{key.removeprefix('eval_')}": value for key, value in entry.items()}


def _points(entries: Sequence[Mapping[str, Any]], key: str) -> Points:
    """Return a value by step; a step told twice, as after a kill, counts once."""
    values = {entry["step"]: entry[key] for entry in entries if "step" in entry and _finite(entry.get(key))}
    return sorted(values.items())


def _whole(points: Points) -> Points:
    """Leave out a last value that stands for fewer steps than the others, and so for other batches."""
    steps = [step for step, _ in points]
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    return points[:-1] if len(gaps) > 1 and gaps[-1] < gaps[-2] else points


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def section_of(histories: Sequence[History]) -> Markup:
    """Return the plots of the loss and of the dev metric, one line for each run."""
    losses = [(history.name, history.loss) for history in histories if history.loss]
    watched = [(history.name, history.dev) for history in histories if history.dev]
    content: list[Content] = []
    if losses:
        content += [element("h3", "Training loss"), *_curve("loss", "Training loss", losses)]
    if watched:
        last = next(history for history in histories if history.dev)
        title = f"{spoken(last.metric)} on the {last.split} split"
        if last.metric != spoken(last.metric):
            title += f" ({last.metric})"
        kept = [
            element("p", f"{title_of(history.name)} is the checkpoint of step {history.best:,}.")
            for history in histories
            if history.best
        ]
        content += [element("h3", title), kept, *_curve("dev", title, watched)]
    return section("training", "Training", *content)


def _curve(name: str, title: str, curves: Sequence[tuple[str, Points]]) -> Iterator[Content]:
    """Yield the plot where there is more than a point, and the figures as a table."""
    description = "; ".join(
        f"{label}: from {figure(points[0][1])} at step {points[0][0]:,.0f} to {figure(points[-1][1])} at step "
        f"{points[-1][0]:,.0f}"
        for label, points in curves
    )
    colours = SERIES[1:] if len(curves) == 1 else SERIES
    if any(len(points) > 1 for _, points in curves):
        series = [Series(label, points, colour) for (label, points), colour in zip(curves, colours, strict=False)]
        yield lines(f"{name}-curve", title, f"{description}. All figures are in the table below.", series, "step")
    rows = [row for label, points in curves for row in _rows(label, points)]
    shown = table(title, ["step", "model", "value"], rows)
    yield folded("The figures", shown) if len(rows) > 1 else shown


def _rows(label: str, points: Points) -> Iterator[list[str]]:
    """Yield evenly spaced points, the last one among them."""
    every = math.ceil(len(points) / _MOST_ROWS)
    for number, (step, value) in enumerate(points):
        if (len(points) - 1 - number) % every == 0:
            yield [f"{step:,.0f}", label, figure(value, 4)]
