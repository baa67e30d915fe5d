"""The report's first part: how the run ended, and who is better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedrun.record import RunRecord
from embedrun_plugins.results.caveats import caveats, headline
from embedrun_plugins.results.comparison import Contest
from embedrun_plugins.results.phrases import alone, title, verdict
from embedrun_plugins.results.report.markup import Content, Markup, element
from embedrun_plugins.results.report.recommendation import recommendation

_MARKS = {
    "better": ("good", "▲", "Better"),
    "worse": ("bad", "▼", "Worse"),
    "can't tell": ("unsure", "≈", "Can't tell"),
    "the same": ("plain", "=", "No difference"),
    "no verdict": ("plain", "•", "No interval"),
}


def section(contests: Sequence[Contest], runs: Sequence[RunRecord]) -> Markup:
    """Return the verdicts, after whatever kept a run from its end."""
    troubles = [trouble for run in runs for trouble in _troubles(run)]
    content: list[Content] = [element("div", troubles, class_="troubles")] if troubles else []
    clauses_of = [caveats(runs[0], contest) if len(runs) == 1 else [] for contest in contests]
    if contests:
        content.append(recommendation(contests, clauses_of[0], unmet=any(run.unmet for run in runs)))
    for contest, clauses in zip(contests, clauses_of, strict=True):
        heading = element("h3", title(contest.name.replace("_", " "))) if len(contests) > 1 else None
        content += [heading, element("ul", list(_verdicts(contest, clauses)), class_="verdicts")]
    if not contests:
        content.append(element("p", "No model was scored."))
    return element("section", element("h2", "Verdict", id="verdict-heading"), content, id="verdict")


def _troubles(run: RunRecord) -> Iterator[Markup]:
    unmet = run.unmet
    status, error = run.status, run.error
    if status == "interrupted":
        yield _trouble("Interrupted", "The run was stopped before its end; run the same command again to continue.")
    if unmet:
        yield _trouble("Requirements not met", element("ul", [element("li", limit) for limit in unmet]))
    elif status == "failed":
        stages = [stage.slot for stage in run.stages() if stage.error]
        where = f"The stage {stages[-1]} failed." if stages else "The run failed."
        yield _trouble("Failed", where, element("pre", error, tabindex=0) if error else None)


def _trouble(heading: str, *content: Content) -> Markup:
    return element("div", element("h3", heading), content, class_="trouble")


def _verdicts(contest: Contest, clauses: list[str]) -> Iterator[Markup]:
    for size, metric in contest.sizes():
        for contender in contest.challengers:
            if metric in contender.metrics:
                kind, sentence = verdict(contest, size, metric, contender)
                qualified = contender == contest.last and metric == contest.headline
                yield _item(kind, sentence, clauses if qualified else [])
        if not contest.challengers:
            yield element("li", element("p", alone(contest, size, metric)), class_="plain")
    for rival in contest.judged_rivals():
        kind, sentence = verdict(contest, None, contest.headline, contest.last, rival)
        yield _item(kind, sentence)


def _item(kind: str, sentence: str, clauses: list[str] | None = None) -> Markup:
    colour, sign, name = _MARKS[kind]
    badge = element("span", element("span", sign, aria_hidden="true"), f" {name}", class_="badge")
    qualified = element("p", element("strong", f"{headline(name, clauses)}.")) if clauses else None
    return element("li", badge, qualified, element("p", sentence), class_=colour)
