"""From candidates to a set with negatives, and what is told of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedrun.artifacts import Judgement, Model, RetrievalSet
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.miners.audit import audit
from embedrun_plugins.stages.miners.candidate_pool import Pool
from embedrun_plugins.stages.miners.guard import Guard
from embedrun_plugins.stages.miners.selection import Chooser

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.base_miner import Mining


def mine(stage: Mining, ctx: Context, data: RetrievalSet, model: Model) -> RetrievalSet:
    """Mine negatives for the train split and write the set with them below `ctx.out`.

    Raises DataError where there is nothing to mine for, or no query has a negative; RequirementError where the audit
    finds too many false ones.
    """
    given = data.negatives() if stage.keep_given else []
    pool = Pool.of(data, use_held_out=stage.use_held_out, given=_by_query(given))
    chooser = Chooser(
        pool,
        per_query=stage.per_query,
        shuffled=stage.sampling == "random",
        seed=ctx.seed,
        near_equal=stage.near_equal,
        guard=Guard(pool, stage.guard, stage.guard.load(ctx, "negatives.guard")) if stage.guard else None,
    )
    mined = [found for block in stage.candidates(ctx, pool, model) for found in chooser.choose(block)]
    _note(ctx, stage, pool, chooser, mined)
    negatives = [negative for found in mined for negative in found]
    if not negatives:
        raise DataError(_nothing(stage, pool, chooser))
    if stage.audit:
        audit(ctx, stage.audit, pool, negatives, stage.audit.load(ctx, model))
    return _written(ctx, data, chooser.guard, given, negatives)


def _written(
    ctx: Context, data: RetrievalSet, guard: Guard | None, given: list[Judgement], negatives: list[Judgement]
) -> RetrievalSet:
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


def _by_query(judgements: list[Judgement]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for judgement in judgements:
        found.setdefault(judgement.query_id, set()).add(judgement.document_id)
    return found


def _note(ctx: Context, stage: Mining, pool: Pool, chooser: Chooser, mined: list[list[Judgement]]) -> None:
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
    without = [query.text for query, found in zip(pool.queries, mined, strict=True) if not found]
    fewer = sum(0 < len(found) < stage.per_query for found in mined)
    ctx.note("queries_with_fewer_negatives", fewer)
    ctx.note("queries_without_negatives", len(without))
    if 0 < len(without) < len(mined):
        ctx.warn(f"{len(without)} of {len(mined)} queries have no negative, such as {without[0][:80]!r}")


def _nothing(stage: Mining, pool: Pool, chooser: Chooser) -> str:
    low, high = stage.range
    told = f"no query has a negative: the ranks from {low + 1} to {high} of {len(pool.documents)} passages hold none"
    if low >= len(pool.documents):
        return f"{told}, since there are too few; lower the first number of negatives.range"
    causes = [
        f"{count} were {name.removeprefix('candidates_').replace('_', ' ')}"
        for name, count in sorted(chooser.counts.items())
        if count
    ]
    if chooser.guard and chooser.guard.refused:
        causes.append(f"{chooser.guard.refused} were refused by the guard")
    reasons = f" ({', '.join(causes)})" if causes else ""
    return f"{told} that may be taken{reasons}; widen negatives.range, or loosen its margins, limits or guard"
