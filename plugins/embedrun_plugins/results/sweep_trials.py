"""What a sweep found: its trials, the best of them, and what mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

OPTIMISTIC = (
    "The scores are those of the dev split, on which the best was chosen: of many settings the best looks better on it "
    "than it is. What it is worth is said by the test split, which no other trial was scored on."
)


@dataclass(frozen=True)
class SweepTrial:
    """A trial of a sweep; number 0 is the recipe's own setting."""

    number: int
    state: str
    """done, pruned, failed or interrupted."""
    values: Mapping[str, Any]
    """What it was tried with, by key; in the shipped setting, what the recipe says."""
    score: float | None
    """The metric on dev; of a pruned trial the last that was measured."""
    seconds: float | None
    reason: str = ""
    run: str = ""
    """Its run, from the sweep's folder."""


@dataclass(frozen=True)
class SweepResults:
    """All trials of a sweep so far."""

    name: str
    """The recipe's."""
    folder: Path
    metric: str
    trials: Sequence[SweepTrial]
    importances: Mapping[str, float]
    """Each key's share in how dev scores differ; empty where too few trials differ."""
    tries: Mapping[str, str]
    """What was tried, by key, in words."""
    spent: float
    """Seconds that the sweep took so far."""
    budget: float | None = None

    @property
    def done(self) -> list[SweepTrial]:
        return [trial for trial in self.trials if trial.state == "done" and trial.score is not None]

    @property
    def shipped(self) -> SweepTrial | None:
        return next((trial for trial in self.done if trial.number == 0), None)

    @property
    def best(self) -> SweepTrial | None:
        """The trial with the highest score on dev; of equal ones, the first."""
        return max(self.done, key=lambda trial: (trial.score or 0.0, -trial.number), default=None)

    def gain(self, trial: SweepTrial) -> float | None:
        """Return by how much a trial's score is above the shipped setting's."""
        if self.shipped is None or self.shipped.score is None or trial.score is None:
            return None
        return trial.score - self.shipped.score

    def best_so_far(self) -> list[tuple[float, float]]:
        """Return the best score after each trial that was done, by its number."""
        points: list[tuple[float, float]] = []
        for trial in self.done:
            score = max(trial.score or 0.0, *(value for _, value in points)) if points else trial.score or 0.0
            points.append((float(trial.number), score))
        return points
