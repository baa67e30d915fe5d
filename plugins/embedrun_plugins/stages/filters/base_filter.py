"""Writing what a filter leaves of a set, and saying what it took out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import Field

from embedrun.artifacts import Document, Judgement, RetrievalSet, Split
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Filter

EXAMPLES = 5
_SHOWN = 160
"""Characters of a text shown as an example."""


@dataclass
class FilterResult:
    """What a filter leaves."""

    qrels: Mapping[Split, Sequence[Judgement]]
    documents: Iterable[Document]
    negatives: Sequence[Judgement]
    examples: list[object] = field(default_factory=list)
    """Some of what it took out, to be looked at."""


class JudgementFilter(Filter):
    """A filter that takes judgements out; queries that lose all of theirs go with them."""

    seeded = False
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits that it applies to."""

    def rehearsal(self, rehearsal: Rehearsal) -> Filter:  # noqa: ARG002  # makes nothing up
        from embedrun_plugins.stages.rehearsal.lenient import lenient_filter

        return lenient_filter(self)

    def publish(self, ctx: Context, data: RetrievalSet, left: FilterResult, loosen: str) -> RetrievalSet:
        """Write what is left and note the counts.

        Negatives go with the training queries that they belong to. Raises DataError, which says what to loosen, where
        a split that had relevant documents has none any more.
        """
        before = {split: data.qrels(split) for split in data.splits}
        judged, kept = _queries(before), _queries(left.qrels)
        for split, queries in judged.items():
            if _relevant(before[split]) and not _relevant(left.qrels[split]):
                raise DataError(
                    f"filters: '{self.type}' leaves nothing of the {split} split, which has {len(queries):,} queries; "
                    f"{loosen}"
                )
            ctx.note(f"{split}_queries_removed", len(queries) - len(kept[split]))
            ctx.note(f"{split}_queries", len(kept[split]))
            ctx.note(f"{split}_judgements", len(left.qrels[split]))
        gone = set().union(*judged.values()).difference(*kept.values())
        untrained = judged.get("train", set()) - kept.get("train", set())
        negatives = [qrel for qrel in left.negatives if qrel.query_id not in untrained]
        ctx.note("negatives_removed", len(data.negatives()) - len(negatives))
        ctx.note("examples", left.examples[: 2 * EXAMPLES])
        return RetrievalSet.write(
            ctx.out,
            documents=left.documents,
            queries=(query for id_, query in data.queries.items() if id_ not in gone),
            qrels=left.qrels,
            negatives=negatives,
        )


def _queries(qrels: Mapping[Split, Iterable[Judgement]]) -> dict[Split, set[str]]:
    return {split: {qrel.query_id for qrel in judgements} for split, judgements in qrels.items()}


def shown(text: str) -> str:
    """Return the beginning of a text, on one line, as an example shows it."""
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]} …"


def _relevant(judgements: Iterable[Judgement]) -> bool:
    return any(qrel.score > 0 for qrel in judgements)
