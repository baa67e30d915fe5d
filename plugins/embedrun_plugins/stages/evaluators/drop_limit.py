"""The limit on what a model may lose on sets that it was not trained for."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Comparison, Scores
from embedrun.errors import suggest
from embedrun_plugins.results.roles import last
from embedrun_plugins.stages.evaluators.thresholds import differences, figures


class DropLimit(BaseModel):
    """How much worse than the base the model that the run ends with may be, on each set."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    max_drop: float = Field(ge=0, le=1)
    """The metric may fall by at most this; 0.02 is a usual choice, 0 allows no loss."""
    by: Literal["difference", "interval"] = "difference"
    """What may not fall further: the measured difference, or also the lower end of its 95% interval. The former lets a
    loss pass that so few queries do not show; the latter asks for proof, which small sets cannot give."""
    sets: tuple[str, ...] = ()
    """The sets that it is about, by name; by default all."""

    def faults(self, names: Collection[str]) -> Iterator[str]:
        """Say which sets it names that there are not."""
        for name in self.sets:
            if name not in names:
                yield f"require.sets: there is no set '{name}'{suggest(name, names)}"

    def unmet(
        self, metrics: Mapping[str, str], scores: Mapping[str, Scores], comparison: Comparison | None
    ) -> Iterator[str]:
        """Say, with the figures, on which sets too much was lost; `metrics` has each set's."""
        role = last(scores)
        if role == "base":
            return
        for name in self.sets or metrics:
            ends = (role, metrics[name]), ("base", metrics[name])
            for interval, trainings in differences(scores, comparison, *ends):
                lowest = interval.difference if self.by == "difference" else interval.low
                if lowest is None or lowest < -self.max_drop:
                    outcome = "falls" if interval.difference < -self.max_drop else "may fall"
                    wanted = f"{metrics[name]} of {role} may fall by {self.max_drop:g} at most"
                    yield f"{wanted}, but {outcome} further: {figures(interval, trainings)}"
