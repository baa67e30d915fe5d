"""The report of one run, and the report that compares two."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from embedrun import plain_files
from embedrun.errors import printable
from embedrun.record import RunRecord
from embedrun_plugins.results import comparison
from embedrun_plugins.results.comparison import Contest
from embedrun_plugins.results.phrases import duration
from embedrun_plugins.results.report import (
    cases,
    durations,
    elsewhere,
    health,
    latency,
    markup,
    provenance,
    questions,
    scores,
    storage,
    training_curves,
    two_stages,
)
from embedrun_plugins.results.report.markup import Content, Markup, element
from embedrun_plugins.results.report.verdicts import section as verdicts

NAME = "report.html"
Named = tuple[str, RunRecord]


def write(run: RunRecord) -> None:
    """Write `report.html` into a run's folder.

    Whatever goes wrong is told and logged, but does not fail a run whose work is done.
    """
    try:
        plain_files.write_text(run.folder / NAME, of_run(run))
    except Exception as error:  # noqa: BLE001  # an observer must not fail what it observes
        run.log("traceback", stage="report", text=traceback.format_exc())
        print(f"{NAME} could not be written: {printable(str(error))} (traceback in log.jsonl)", file=sys.stderr)  # noqa: T201


def of_run(run: RunRecord) -> str:
    """Return the report of a run, with as much as it came to do."""
    name = run.name
    recipe = run.recipe
    facts = [run.started.replace("T", " ").replace("+00:00", " UTC"), run.status]
    if run.seconds:
        facts.append(duration(run.seconds))
    described = recipe.get("description")
    heading = [
        element("p", "embedrun report", class_="kicker"),
        element("h1", name),
        element("p", described) if described else None,
        element("p", f"{_model_name(recipe)}, {', '.join(facts)}", class_="facts"),
    ]
    return _document(name, heading, comparison.of_run(run), [(name, run)], [training_curves.history(run, "tuned")])


def _model_name(recipe: Mapping[str, Any]) -> str:
    """Return the hub's id, or the last part of a path."""
    name = str((recipe.get("model") or {}).get("id"))
    return PurePath(name).name if PurePath(name).is_absolute() else name


def of_two(first: RunRecord, second: RunRecord, compared: Sequence[Contest]) -> str:
    """Return the report that compares two runs' last models."""
    named = [("first", first), ("second", second)]
    names = [f"{run.folder.parent.name}/{run.folder.name}" for _, run in named]
    heading = [
        element("p", "embedrun comparison", class_="kicker"),
        element("h1", f"{first.name} and {second.name}"),
        element(
            "p", [element("b", "First: "), names[0], ". ", element("b", "Second: "), names[1], "."], class_="facts"
        ),
    ]
    histories = [training_curves.history(run, name) for name, run in named]
    return _document(" and ".join(names), heading, compared, named, histories)


def _document(
    title: str,
    heading: Sequence[Content],
    compared: Sequence[Contest],
    runs: Sequence[Named],
    histories: Sequence[training_curves.History],
) -> str:
    parts: list[Markup] = [
        verdicts(compared, [run for _, run in runs]),
        elsewhere.elsewhere(compared),
        scores.scores(compared),
        *(two_stages.reranked(run) for _, run in runs[:1] if len(runs) == 1),
        storage.storage(compared),
        cases.cases(compared),
        questions.questions(runs, compared),
        training_curves.section_of(histories),
        latency.latency(runs),
        durations.section_of(runs),
        health.health(runs),
        provenance.model(runs),
        provenance.recipe(runs),
        provenance.reproduction(runs),
    ]
    return markup.page(f"{title}: embedrun", heading, parts)
