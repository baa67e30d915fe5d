"""The report of a sweep: its trials, what mattered, and the winner on test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrun import plain_files
from embedrun.record import RunRecord
from embedrun_plugins.results import comparison
from embedrun_plugins.results.comparison import spoken
from embedrun_plugins.results.phrases import duration, figure, signed
from embedrun_plugins.results.report import markup, scores
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table
from embedrun_plugins.results.report.plots import Series, lines, shares
from embedrun_plugins.results.report.verdicts import section as verdicts
from embedrun_plugins.results.sweep_trials import OPTIMISTIC, SweepResults, SweepTrial


def write(results: SweepResults, judged: RunRecord | None, winners_judged: int = 0) -> None:
    """Write `report.html` into a sweep's folder; `judged` is the winner's run on test."""
    plain_files.write_text(results.folder / "report.html", of_sweep(results, judged, winners_judged))


def of_sweep(results: SweepResults, judged: RunRecord | None, winners_judged: int = 0) -> str:
    """Return the report of a sweep, with as much as it came to do."""
    counts = [f"{len([t for t in results.trials if t.state == s])} {s}" for s in ("done", "pruned", "failed")]
    budget = f" of {duration(results.budget)}" if results.budget else ""
    heading = [
        element("p", "embedrun sweep", class_="kicker"),
        element("h1", results.name),
        element("p", f"{', '.join(counts)}; {duration(results.spent)}{budget}", class_="facts"),
    ]
    contests = comparison.of_run(judged) if judged else []
    parts = [_verdict(results), _progress(results), _mattered(results), _trials(results)]
    if judged:
        looked = f" {winners_judged} winners of this sweep have been judged on it." if winners_judged > 1 else ""
        note = element("p", f"The winner alone was scored on the test split.{looked}")
        parts += [section("test", "The winner on test", note), verdicts(contests, [judged]), scores.scores(contests)]
    return markup.page(f"Sweep of {results.name}: embedrun", heading, parts)


def _verdict(results: SweepResults) -> Markup:
    best, shipped = results.best, results.shipped
    if best is None:
        return section("best", "Best on dev", element("p", "No trial is done yet."))
    metric = spoken(results.metric)
    if best.number == 0:
        text = f"The shipped setting is the best of those tried: {metric} {figure(best.score, 4)}."
    else:
        against = f", against {figure(shipped.score, 4)} of the shipped setting" if shipped else ""
        text = f"Trial {best.number}: {metric} {figure(best.score, 4)}{against} ({signed(results.gain(best), 4)})."
    rows = [[key, _value(value)] for key, value in best.values.items()]
    return section(
        "best",
        "Best on dev",
        element("p", text),
        table("Its setting", ["key", "value"], rows),
        element("p", OPTIMISTIC),
    )


def _progress(results: SweepResults) -> Markup:
    points = results.best_so_far()
    if len(points) < 2:  # noqa: PLR2004 - a line
        return Markup()
    each = [(float(trial.number), trial.score or 0.0) for trial in results.done]
    series = [Series("best so far", points, "tuned"), Series("each trial", each, "base")]
    described = f"from {figure(points[0][1])} to {figure(points[-1][1])}; the trials are in the table below"
    title = f"{spoken(results.metric)} on dev"
    return section("progress", "Trial by trial", lines("progress-curve", title, described, series, "trial"))


def _mattered(results: SweepResults) -> Markup:
    if not results.importances:
        return Markup()
    note = (
        "Each key's share in how dev scores differ (PED-ANOVA). It is about the values tried, and rests on "
        f"{len(results.done)} trials."
    )
    figures = [(key, share) for key, share in results.importances.items()]
    described = "; ".join(f"{key}: {share:.0%}" for key, share in figures)
    return section(
        "mattered", "What mattered", element("p", note), shares("importances", "What mattered", described, figures)
    )


def _trials(results: SweepResults) -> Markup:
    keys = list(results.tries)
    header = ["trial", spoken(results.metric) or "score", "against shipped", *keys, "time", "state"]
    rows = [_row(results, trial, keys) for trial in results.trials]
    reasons = [
        element("p", f"Trial {trial.number} {trial.state}: {markup.clipped(trial.reason, 300)}")
        for trial in results.trials
        if trial.reason
    ]
    return section("trials", "Trials", table("Trials", header, rows), reasons)


def _row(results: SweepResults, trial: SweepTrial, keys: list[str]) -> list[Content]:
    gain = results.gain(trial) if trial.state == "done" and trial.number else None
    state = "best" if trial == results.best else trial.state
    seconds = "" if trial.seconds is None else duration(trial.seconds)
    values = [_value(trial.values.get(key)) for key in keys]
    name = "0, shipped" if trial.number == 0 else str(trial.number)
    return [name, figure(trial.score, 4), signed(gain, 4), *values, seconds, state]


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(dict(value))
    return f"{value:g}" if isinstance(value, float) else str(value)
