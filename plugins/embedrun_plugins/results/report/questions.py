"""Generated questions: how many survived each step, what they cost, and how models do by style."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedrun.record import RunRecord
from embedrun_plugins.results.comparison import Contest, spoken
from embedrun_plugins.results.funnel import HEADER, agreement_sentences, funnel
from embedrun_plugins.results.phrases import NOTHING, figure, interval, signed, title
from embedrun_plugins.results.report.markup import Content, Markup, element, section, table


def questions(runs: Sequence[tuple[str, RunRecord]], contests: Sequence[Contest]) -> Markup:
    """Return each run's funnel and styles; nothing where no language model was asked."""
    content: list[Content] = []
    for name, run in runs:
        if steps := funnel(run):
            caption = f"Questions of {name}" if len(runs) > 1 else "Questions step by step"
            rows = [[cell or NOTHING for cell in step.cells()] for step in steps]
            content.append(table(caption, HEADER, rows))
            if any(step.usd is not None for step in steps):
                content.append(element("p", "Costs are those of all answers used, whichever run paid for them."))
        content += [element("p", sentence) for sentence in agreement_sentences(run)]
        content += list(_asked_by_style(run))
    for contest in contests:
        content += list(_scores_by_style(contest))
    return section("questions", "Questions", *content)


def _asked_by_style(run: RunRecord) -> Iterator[Markup]:
    for stage in run.stages():
        passages, counts = stage.notes.get("passages_by_style"), stage.notes.get("questions_by_style")
        if isinstance(passages, dict) and isinstance(counts, dict):
            rows = [[style, f"{count:,}", f"{counts.get(style, 0):,}"] for style, count in passages.items()]
            yield table("Questions by style", ["style", "passages asked about", "questions"], rows)


def _scores_by_style(contest: Contest) -> Iterator[Markup]:
    row = contest.row(contest.headline, contest.last) or {}
    if styles := row.get("by_style"):
        first, last = contest.base.name, contest.last.name
        rows = [
            [
                part["style"],
                f"{part['queries']:,}",
                figure(part["base"], 4),
                figure(part["model"], 4),
                signed(part["difference"], 4),
                interval(part) or NOTHING,
            ]
            for part in styles
        ]
        caption = f"{title(spoken(contest.headline))} by style of the question"
        yield table(caption, ["style", "queries", first, last, "difference", "95% interval"], rows)
        yield element("p", "Intervals are of each style alone, and not corrected for the number of styles.")
