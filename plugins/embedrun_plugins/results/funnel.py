"""How many generated questions survived each step, and what they cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embedrun.record import RunRecord

HEADER = ("step", "left", "taken out", "requests", "tokens in", "tokens out", "USD")


@dataclass(frozen=True)
class FunnelStep:
    """One step that questions, or the passages that they are asked about, go through."""

    name: str
    left: int | None
    """What is left after it: passages at first, then questions."""
    before: int | None = None
    """What there was before it, where it may take something out."""
    requests: int = 0
    """Requests answered, those that earlier runs paid for included."""
    tokens_in: int = 0
    tokens_out: int = 0
    usd: float | None = None

    def cells(self) -> list[str]:
        """Return the step as a row below `HEADER`."""
        gone = self.before - self.left if self.before is not None and self.left is not None else None
        counts = (self.left, gone)
        cost = (self.requests or None, self.tokens_in or None, self.tokens_out or None)
        usd = "" if self.usd is None else f"{self.usd:.4g}"
        return [self.name, *("" if count is None else f"{count:,}" for count in (*counts, *cost)), usd]


def funnel(run: RunRecord) -> list[FunnelStep]:
    """Return the steps of a run's questions; none where nothing generates or judges any."""
    steps = list(_steps(run))
    costly = [step for step in steps if step.requests]
    if not costly:
        return []
    known = [step.usd for step in costly if step.usd is not None]
    total = FunnelStep(
        "in all",
        next((step.left for step in reversed(steps) if step.left is not None), None),
        None,
        sum(step.requests for step in costly),
        sum(step.tokens_in for step in costly),
        sum(step.tokens_out for step in costly),
        sum(known) if known else None,
    )
    return [*steps, total]


def _steps(run: RunRecord) -> Iterator[FunnelStep]:
    left: int | None = None
    for stage in run.stages():
        notes = stage.notes
        if stage.kind == "generator" and not stage.error:
            asked_about = notes.get("passages_asked_about")
            if "requests_sent" in notes and asked_about is not None:
                answered = asked_about - notes.get("passages_without", 0)
                yield FunnelStep("passages asked about", asked_about, None, *_cost(notes))
                yield FunnelStep("passages with a question", answered, asked_about)
            left = notes.get("questions")
            yield FunnelStep("new questions", left)
        elif stage.kind == "filters" and not stage.error:
            counts = [value for key, value in notes.items() if _is_count(key, value)]
            removed = [value for key, value in notes.items() if key.endswith("_queries_removed")]
            left = sum(counts) if counts else None
            before = left + sum(removed) if left is not None else None
            yield FunnelStep(f"after {stage.name.partition('.')[2]}", left, before, *_cost(notes))


def _is_count(key: str, value: Any) -> bool:
    return key in ("train_queries", "dev_queries", "test_queries") and isinstance(value, int)


def _cost(notes: Mapping[str, Any]) -> tuple[int, int, int, float | None]:
    requests = notes.get("requests_sent", 0) + notes.get("answers_reused", 0)
    return requests, notes.get("input_tokens", 0), notes.get("output_tokens", 0), notes.get("usd")


def agreement_sentences(run: RunRecord) -> Iterator[str]:
    """Yield how far each judge of a run agrees with people, where there were labels."""
    for stage in run.stages():
        figures = stage.notes.get("agreement")
        if isinstance(figures, Mapping):
            yield _agreement(figures)


def _agreement(figures: Mapping[str, Any]) -> str:
    labels = f"on {figures['labels']:,} labels"
    if figures["units"] != figures["labels"]:
        labels += f" in {figures['units']:,} independent units"
    said = (
        f"The judge agrees with people {labels} in {figures['agreement']:.0%} "
        f"(95% interval {figures['low']:.0%} to {figures['high']:.0%})"
    )
    if figures.get("kappa") is None:
        return f"{said}; both say the same of all, so Cohen's kappa is not defined."
    return (
        f"{said}; Cohen's kappa {figures['kappa']:.2f} ({figures['kappa_low']:.2f} to {figures['kappa_high']:.2f}). "
        f"It keeps {figures['only_judge']:,} that people call bad, and drops {figures['only_people']:,} that they call "
        "good."
    )
