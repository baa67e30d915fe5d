"""Writing a retrieval set from numbered queries and documents, and reporting its figures and leaks."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from embedrun.artifacts import SPLITS, Document, Judgement, Query, RetrievalSet, Split
from embedrun.context import Context
from embedrun.errors import DataError
from embedrun_plugins.stages.sources.relations import Relations, SplitJudgements
from embedrun_plugins.stages.texts.leaks import find_leak, perfect_ndcg_unmerged


@dataclass
class SetContents:
    """What is to be written. Queries and documents come in the order of their numbers, in which ids are given too."""

    relations: Relations
    query_ids: Sequence[str]
    document_ids: Sequence[str]
    queries: Iterable[Query]
    documents: Iterable[Document]
    taught: bool = False
    """Whether scores are a teacher's: used for training only."""
    document_keys: Sequence[int] | None = None
    """Where equal texts may have several ids: each document's key, shared by equal ones."""
    query_keys: Sequence[int] | None = None
    """The same for queries."""


class Negatives:
    """Given negatives of the train split's rows, without those that are no negatives or are asked about in a test."""

    def __init__(self, relations: Relations, judged: Mapping[Split, SplitJudgements]) -> None:
        self.relations = relations
        self.judged = judged
        self.tested = {d for split, pairs in judged.items() if split != "train" for _, d in pairs}
        self.given = self.relevant = self.held_out = 0

    def kept(self) -> Iterator[tuple[int, int, float]]:
        """Yield query, document and score once each; count what is left out."""
        train = SPLITS.index("train")
        seen: set[tuple[int, int]] = set()
        for row, query, document, score in self.relations.negatives:
            if self.relations.row_splits[row] != train or (query, document) in seen:
                continue
            seen.add((query, document))
            if any(pairs.has(query, document) for pairs in self.judged.values()):
                self.relevant += 1
            elif document in self.tested:
                self.held_out += 1
            else:
                self.given += 1
                yield query, document, score


def publish(ctx: Context, contents: SetContents) -> RetrievalSet:
    """Write the set below `ctx.out` and note its figures.

    Raises DataError where a split has nothing that is relevant.
    """
    relations, width = contents.relations, len(contents.document_ids)
    judged: dict[Split, SplitJudgements] = {}
    for split in relations.splits():
        judged[split] = SplitJudgements(relations, split, width, graded=not contents.taught or split == "train")
        _check_scores(split, judged[split], taught=contents.taught)
    negatives = Negatives(relations, judged)
    queries, documents = contents.query_ids, contents.document_ids
    result = RetrievalSet.write(
        ctx.out,
        documents=contents.documents,
        queries=contents.queries,
        qrels={
            split: (Judgement(queries[q], documents[d], score) for q, d, score in pairs.items())
            for split, pairs in judged.items()
        },
        negatives=(Judgement(queries[q], documents[d], score) for q, d, score in negatives.kept()),
    )
    _note_counts(ctx, contents, judged)
    _note_negatives(ctx, relations, negatives)
    _report_leaks(ctx, contents, judged)
    return result


def _check_scores(split: Split, pairs: SplitJudgements, *, taught: bool) -> None:
    lowest = min(pairs.scores.values(), default=0.0)
    if taught and lowest <= 0:
        raise DataError(
            f"a teacher's score for a positive is {lowest:g}, but 0 or less means not relevant; "
            "add a constant to all of the teacher's scores (losses compare their differences)"
        )
    if next(iter(pairs), None) is None:
        raise DataError(f"no pair of the {split} split has a score above 0, so nothing in it would be relevant")


def _note_counts(ctx: Context, contents: SetContents, judged: Mapping[Split, SplitJudgements]) -> None:
    ctx.note("duplicate_pairs_merged", sum(pairs.given - len(pairs.scores) for pairs in judged.values()))
    ctx.note("queries", len(contents.query_ids))
    ctx.note("documents", len(contents.document_ids))
    for split, pairs in judged.items():
        ctx.note(f"{split}_queries", len({query for query, _, _ in pairs.items()}))
        ctx.note(f"{split}_judgements", len(pairs.scores))
    scores = contents.relations.pairs.scores
    if scores and (min(scores), max(scores)) != (1.0, 1.0):
        ctx.note("score_range", [min(scores), max(scores)])
    conflicts = sum(pairs.conflicts for pairs in judged.values())
    if conflicts:
        ctx.warn(f"{conflicts} rows grade a pair differently than an earlier row; the highest score is kept")


def _note_negatives(ctx: Context, relations: Relations, negatives: Negatives) -> None:
    if len(relations.negatives):
        ctx.note("negatives", negatives.given)
        ctx.note("negatives_dropped_as_relevant", negatives.relevant)
        ctx.note("negatives_dropped_as_held_out", negatives.held_out)


def _report_leaks(ctx: Context, contents: SetContents, judged: Mapping[Split, SplitJudgements]) -> None:
    """Keep the figures of each held-out split as a note, and warn where it is partly trained on."""
    pairs, row_splits = contents.relations.pairs, contents.relations.row_splits
    copies = array("q", bytes(8 * len(contents.document_ids)))
    for document in pairs.documents:
        copies[document] += 1
    for split in judged:
        if split == "train":
            continue
        leak = find_leak(judged, split, contents.document_keys, contents.query_keys)
        if contents.document_keys is None:
            held_out = (d for row, _, d, _ in pairs if row_splits[row] == SPLITS.index(split))
            leak = replace(leak, perfect_ndcg_unmerged=perfect_ndcg_unmerged(copies, held_out))
        figures = leak.figures()
        ctx.note(f"{split}_leaks", figures)
        for name, value in figures.items():
            if name.startswith("best_") and value < 1:
                ctx.note(f"{split}_{name}", value)
        if leak.leaks:
            ctx.warn(leak.warning(split))
