"""What the data take away from a verdict: tests that were trained on, too few units, texts that were cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, cast

from embedrun.artifacts import RetrievalSet, Split
from embedrun.record import RunRecord
from embedrun_plugins.results.comparison import Contest
from embedrun_plugins.results.train_overlap import TrainOverlap

FEW_UNITS = 30
"""Below which a verdict says how few it rests on; `benchmarks/coverage.py` measures from there on."""
_DECIDED = ("better", "worse")
_WORTH_A_WORD = 0.05
"""Share of the passages that are cut, or of the queries whose passage has copies, from which on it is told."""


def caveats(run: RunRecord, contest: Contest) -> list[str]:
    """Return what qualifies the verdict on a run's last model, each as a clause, worst first.

    Only what holds of the set after all filters counts, and nothing is called trained on where nothing is trained. A
    benchmark whose own splits ask about the same passages shares them by design, which is no caveat; queries are.
    """
    if not contest.challengers:
        return []
    overlap = overlap_of(run, contest)
    notes = _notes(run, contest)
    leaks = _overlapping(overlap, by_design(run)) if overlap else ()
    return [*leaks, *_few_units(contest), *_copies(notes), *_cut(notes)]


def overlap_of(run: RunRecord, contest: Contest) -> TrainOverlap | None:
    """Return what a contest's split shares with training; None where nothing is trained, or it is not held out."""
    if not run.recipe.get("trainer") or contest.split in (None, "train") or contest.data is None:
        return None
    return _measured(contest.data, str(contest.split))


@cache
def _measured(folder: Path, split: str) -> TrainOverlap:
    return TrainOverlap.of(RetrievalSet(folder), cast("Split", split))


def by_design(run: RunRecord) -> bool:
    """Say whether the splits are a benchmark's own: a BEIR folder's judgements as they are, none held out here."""
    source = run.recipe.get("source") or {}
    return source.get("type") == "beir" and not source.get("holdout")


def _overlapping(overlap: TrainOverlap, shared_by_design: bool) -> Iterator[str]:
    if overlap.passages_trained_on and not shared_by_design:
        share = overlap.passages_trained_on / overlap.passages
        yield f"{_percent(share)} of the test's passages were trained on"
    if overlap.queries_trained_on:
        yield f"{_percent(overlap.queries_trained_on / overlap.queries)} of the test's queries were trained on"


def _few_units(contest: Contest) -> Iterator[str]:
    row = contest.row(contest.headline, contest.last) or {}
    units = row.get("units")
    if units and units < FEW_UNITS and row.get("verdict") in _DECIDED:
        yield f"it rests on {'one independent unit' if units == 1 else f'{units} independent units'} of queries"


def _notes(run: RunRecord, contest: Contest) -> Mapping[str, Any]:
    """Return what the evaluator noted when it scored the last model."""
    slot = f"evaluator.{contest.name}.{contest.last.role}"
    return next((stage.notes for stage in run.stages() if stage.slot == slot), {})


def _copies(notes: Mapping[str, Any]) -> Iterator[str]:
    share = notes.get("queries_with_unjudged_copies", 0) / (notes.get("queries") or 1)
    if share >= _WORTH_A_WORD:
        yield f"for {_percent(share)} of the queries a copy of the right passage counts as a mistake"


def _cut(notes: Mapping[str, Any]) -> Iterator[str]:
    share = notes.get("documents_cut", 0)
    if share >= _WORTH_A_WORD:
        yield f"{_percent(share)} of the passages are longer than the model reads"


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"  # noqa: PLR2004 - as it says


def headline(verdict: str, clauses: list[str]) -> str:
    """Return a verdict with what qualifies it: "Better, but 66% of the test's passages were trained on"."""
    start = verdict[:1].upper() + verdict[1:]
    if not clauses:
        return start
    link = ", but" if verdict.lower() in _DECIDED else ", and"
    return f"{start}{link} {' and '.join(clauses)}"
