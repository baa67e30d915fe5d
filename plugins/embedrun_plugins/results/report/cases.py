"""The queries that gained and lost most, with their texts and the right passage's ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from embedrun_plugins.results.comparison import Contest, spoken
from embedrun_plugins.results.phrases import figure, signed, title
from embedrun_plugins.results.report.markup import Content, Markup, clipped, element, section
from embedrun_plugins.results.report.rankings import QueryRanking, by_query, judgements, rankings
from embedrun_plugins.results.stored_texts import texts, word

SHOWN = 10
"""Of each sort."""
_LETTERS = 600
"""Of a passage that are shown."""
_NOTHING = QueryRanking(())


@dataclass(frozen=True)
class Case:
    """A query whose score changed."""

    query: str
    before: float
    after: float
    rank_before: int | None
    rank_after: int | None
    depth: int
    """Documents that were looked at for each query."""
    right: str | None
    """The relevant passage that ranks highest afterwards, or before."""
    wrong: str | None
    """The passage that ranks first afterwards, where it is not relevant."""


def changed(contest: Contest) -> tuple[list[Case], list[Case]]:
    """Return the cases that gained most and those that lost most, by the headline metric."""
    first, last = contest.base.scores, contest.last.scores
    if not contest.challengers or first is None or last is None or contest.data is None:
        return [], []
    before, after = by_query(first, contest.headline), by_query(last, contest.headline)
    gains = {query: after[query] - value for query, value in before.items() if query in after}
    order = sorted(gains, key=lambda query: (-gains[query], query))
    won = [query for query in order[:SHOWN] if gains[query] > 0]
    lost = [query for query in reversed(order[-SHOWN:]) if gains[query] < 0]
    chosen = {*won, *lost}
    cases = _cases(contest, {query: (value, after[query]) for query, value in before.items() if query in chosen})
    return [cases[query] for query in won], [cases[query] for query in lost]


def _cases(contest: Contest, scores: Mapping[str, tuple[float, float]]) -> dict[str, Case]:
    first, last, data = contest.base.scores, contest.last.scores, contest.data
    if first is None or last is None or data is None:
        return {}
    earlier, later = (rankings(folder, contest.headline, scores) for folder in (first, last))
    relevant = judgements(last, scores)
    chosen = {
        query: _passages(relevant.get(query, frozenset()), earlier.get(query, _NOTHING), later.get(query, _NOTHING))
        for query in scores
    }
    questions = texts(data / "queries.jsonl", {word(query) for query in scores})
    passages = texts(data / "corpus.jsonl", {name for pair in chosen.values() for name in pair if name})
    cases = {}
    for query, (before, after) in scores.items():
        ranked = [earlier.get(query, _NOTHING), later.get(query, _NOTHING)]
        ranks = [ranking.rank(relevant.get(query, frozenset())) for ranking in ranked]
        right, wrong = (passages.get(name) if name else None for name in chosen[query])
        text = questions.get(word(query), query)
        cases[query] = Case(text, before, after, ranks[0], ranks[1], len(ranked[1].documents), right, wrong)
    return cases


def _passages(relevant: frozenset[str], earlier: QueryRanking, later: QueryRanking) -> tuple[str | None, str | None]:
    """Return the relevant document to show, and the first one if that is none."""
    ranked = (name for name in (*later.documents, *earlier.documents) if name in relevant)
    right = next(ranked, min(relevant, default=None))
    first = later.documents[0] if later.documents else None
    return right, None if first in relevant else first


def cases(contests: Sequence[Contest]) -> Markup:
    """Return the wins and losses of the first contest that has any."""
    for contest in contests:
        won, lost = changed(contest)
        if won or lost:
            return _shown(contest, won, lost)
    return Markup()


def _shown(contest: Contest, won: Sequence[Case], lost: Sequence[Case]) -> Markup:
    first, last = contest.base.name, contest.last.name
    row = contest.row(contest.headline, contest.last) or {}
    counts = ""
    if row.get("won") is not None:
        counts = (
            f" Of {row['queries']:,} queries {row['won']:,} gained, {row['lost']:,} lost and {row['tied']:,} stayed "
            "the same."
        )
    intro = f"By {spoken(contest.headline)}{contest.at(None)}, from {first} to {last}.{counts}"
    parts: list[Content] = [element("p", intro)]
    for heading, group in (("Gained most", won), ("Lost most", lost)):
        listed = element("ol", [element("li", shown(case, last)) for case in group], class_="cases")
        parts += [element("h3", heading), listed if group else element("p", "None.")]
    return section("cases", "Wins and losses", *parts)


def shown(case: Case, last: str) -> Markup:
    """Return a case to be unfolded, `last` being the model that it is about."""
    change = f"{_rank(case.rank_before, case)} → {_rank(case.rank_after, case)}"
    heading = [
        element("span", clipped(case.query, 200), class_="query", dir="auto"),
        element("span", f"rank {change}", class_="ranks"),
    ]
    scores = f"{figure(case.before)} → {figure(case.after)} ({signed(case.after - case.before)})"
    return element("details", element("summary", heading), element("p", f"Score {scores}"), list(_quotes(case, last)))


def _quotes(case: Case, last: str) -> Iterator[Markup]:
    for name, passage in (("The right passage", case.right), (f"{title(last)} ranks first instead", case.wrong)):
        if passage is not None:
            yield element("p", f"{name}:", class_="quoted")
            yield element("blockquote", clipped(passage, _LETTERS), dir="auto")


def _rank(rank: int | None, case: Case) -> str:
    return f"{rank}" if rank else f"not in the first {case.depth}"
