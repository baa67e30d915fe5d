"""From candidates to a set with negatives, and what is told of it."""

from __future__ import annotations

from embedrun.artifacts import Judgement, RetrievalSet
from embedrun.context import Context
from embedrun_plugins.stages.miners.guard import Guard
from embedrun_plugins.stages.miners.selection import Chooser


def write(
    ctx: Context, data: RetrievalSet, guard: Guard | None, given: list[Judgement], negatives: list[Judgement]
) -> RetrievalSet:
    """Write the set with the mined negatives after those `given`; with a guard that teaches, all with its scores."""
    qrels = {split: data.qrels(split) for split in data.splits}
    if guard and guard.gate.teach:
        qrels["train"], negatives, added = guard.taught(data, given, negatives)
        ctx.note("added_to_teacher_scores", added)
    else:
        negatives = [*given, *negatives]
        _warn_of_scales(ctx, qrels["train"])
    return RetrievalSet.write(
        ctx.out, documents=data.documents.values(), queries=data.queries.values(), qrels=qrels, negatives=negatives
    )


def _warn_of_scales(ctx: Context, judgements: list[Judgement]) -> None:
    if not all(judgement.score.is_integer() for judgement in judgements):
        ctx.warn(
            "the answers' scores seem to be a teacher's, and the mined negatives' are the miner's own, on another "
            "scale: do not distil from both; guard.teach: true gives all of them a cross-encoder's"
        )


def note(ctx: Context, chooser: Chooser, mined: list[list[Judgement]]) -> None:
    """Note how many negatives there are of each query, and what kept others out."""
    pool = chooser.pool
    ctx.note("negatives", sum(map(len, mined)))
    ctx.note("queries", len(pool.queries))
    ctx.note("passages_searched", len(pool.documents))
    if pool.held_out:
        ctx.note("passages_left_out_as_held_out", pool.held_out)
    for name, count in sorted(chooser.counts.items()):
        if count:
            ctx.note(name, count)
    if chooser.guard:
        ctx.note("candidates_judged_by_guard", chooser.guard.scored)
        ctx.note("candidates_refused_by_guard", chooser.guard.refused)
    without = [query.text for query, negatives in zip(pool.queries, mined, strict=True) if not negatives]
    fewer = sum(0 < len(negatives) < chooser.per_query for negatives in mined)
    ctx.note("queries_with_fewer_negatives", fewer)
    ctx.note("queries_without_negatives", len(without))
    if 0 < len(without) < len(mined):
        ctx.warn(f"{len(without)} of {len(mined)} queries have no negative, such as {without[0][:80]!r}")


def nothing(chooser: Chooser, low: int, high: int) -> str:
    """Say why no query has a negative among the ranks from `low` to `high`."""
    passages = len(chooser.pool.documents)
    ranks = f"no query has a negative: the ranks from {low + 1} to {high} of {passages} passages hold none"
    if low >= passages:
        return f"{ranks}, since there are too few; lower the first number of negatives.range"
    causes = [
        f"{count} were {name.removeprefix('candidates_').replace('_', ' ')}"
        for name, count in sorted(chooser.counts.items())
        if count
    ]
    if chooser.guard and chooser.guard.refused:
        causes.append(f"{chooser.guard.refused} were refused by the guard")
    reasons = f" ({', '.join(causes)})" if causes else ""
    return f"{ranks} that may be taken{reasons}; widen negatives.range, or loosen its margins, limits or guard"
