"""What a verdict means for those who decide: of a hundred questions how many, and which model to take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from embedrun_plugins.results.comparison import Contender, Contest, parted, spoken
from embedrun_plugins.results.phrases import figure, title
from embedrun_plugins.results.report.markup import Content, element

_COUNTED = {
    "hit_rate": ("questions", "find a passage that answers them among the first {k} results"),
    "accuracy": ("questions", "find a passage that answers them among the first {k} results"),
    "recall": ("passages that answer a question", "are among its first {k} results"),
}
_WORDS = {"1": "one", "2": "two", "3": "three", "5": "five", "10": "ten", "20": "twenty"}
_MEANINGS = {
    "ndcg": "How high the passages that answer stand among the first {k} results: 1 if all stand first, 0 if none is "
    "there; a place further down counts for less.",
    "mrr": "One over the place of the first passage that answers, among the first {k}: 1 for the first place, 0.5 for "
    "the second, 0 if there is none.",
    "map": "The precision at each passage that answers, averaged, among the first {k} results.",
    "recall": "The share of the passages that answer which are among the first {k} results.",
    "precision": "The share of the first {k} results that answer.",
    "hit_rate": "The share of the questions that find a passage that answers among the first {k} results.",
    "accuracy": "The share of the questions that find a passage that answers among the first {k} results.",
}


def meaning(metric: str) -> str | None:
    """Say what a metric measures, where it is one of the field's."""
    name, _, k = parted(metric)[1].partition("@")
    return _MEANINGS[name].format(k=k) if name in _MEANINGS and k else None


def named(metric: str, model: str = "") -> Content:
    """Return a metric's name, and that of a model, which says what it measures when it is pointed at."""
    size = parted(metric)[0]
    name = spoken(metric) + (f" at {size}" if size else "") + (f", {model}" if model else "")
    return element("abbr", name, title=meaning(metric)) if meaning(metric) else name


def recommendation(contests: Sequence[Contest], clauses: Sequence[str], *, unmet: bool) -> Content:
    """Say in plain words what changed by the first contest, and which model the figures speak for.

    `clauses` qualify its verdict; where another contest finds the same model worse, that is said, too. Nothing is
    returned where one model was scored.
    """
    contest, *others = contests
    if not contest.challengers:
        return None
    chosen, reason = _chosen(contest)
    sentences = [*_in_a_hundred(contest, chosen or contest.last), reason]
    if chosen and clauses:
        sentences.append(f"But {' and '.join(clauses)}.")
    worse = [other.name.replace("_", " ") for other in others if chosen and _is_worse(other, chosen)]
    if worse:
        sentences.append(f"But it is worse by {' and '.join(worse)}.")
    if unmet:
        sentences.append("But a requirement of the recipe is not met: see above.")
    return element("p", " ".join(sentences), class_="plainly")


def _is_worse(contest: Contest, model: Contender) -> bool:
    rows = (row for row in contest.rows if (row["role"], row.get("against", "base")) == (model.role, contest.base.role))
    return any(row.get("verdict") == "worse" for row in rows if row["metric"] in contest.headlines)


def _in_a_hundred(contest: Contest, model: Contender) -> Iterator[str]:
    metrics = contest.base.metrics.keys() & model.metrics.keys()
    counted = [
        (list(_COUNTED).index(name), -int(k), metric)
        for metric in metrics
        for name, _, k in [metric.partition("@")]
        if name in _COUNTED and k.isdigit()
    ]
    if counted:
        metric = min(counted)[2]
        name, _, k = metric.partition("@")
        things, standing = _COUNTED[name]
        after, before = (round(100 * contender.metrics[metric]) for contender in (model, contest.base))
        standing = standing.format(k=_WORDS.get(k, k))
        yield f"Of 100 {things}, {after} {standing} with {model.name}; with {contest.base.name}, {before}."


def _chosen(contest: Contest) -> tuple[Contender | None, str]:
    """Return the model that is better than the first, the best of them if several are; None where none is."""
    base, metric = contest.base, contest.headline
    rows = [(contender, contest.row(metric, contender) or {}) for contender in contest.challengers]
    better = [contender for contender, row in rows if row.get("verdict") == "better"]
    if better:
        best = max(better, key=lambda contender: contender.metrics[metric])
        others = [other for other in better if other is not best]
        rest = "".join(f"; {other.name} scores {figure(other.metrics[metric])}" for other in others)
        return best, f"Take {best.name}: by {spoken(metric)} it is better than {base.name}{rest}."
    if all(row.get("verdict") == "worse" for _, row in rows):
        return None, f"Keep {base.name}: {title(contest.last.name)} is worse by {spoken(metric)}."
    if not any(row.get("verdict") for _, row in rows):
        return None, "There is no verdict on which model to take, since this evaluator keeps no scores by query."
    return (
        None,
        f"Nothing shows yet that another model is better by {spoken(metric)}: keep {base.name}, or judge on more.",
    )
