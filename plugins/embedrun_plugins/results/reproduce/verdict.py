"""Whether a repetition gave the same, and if not, where it first differs and why."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from embedrun.finished import Finished
from embedrun.record import RunRecord
from embedrun.store import Store, Stored
from embedrun_plugins.results.reproduce import environments, result_differences
from embedrun_plugins.results.reproduce import input_differences as inputs
from embedrun_plugins.results.reproduce.again import Repetition, compared


@dataclass(frozen=True)
class Score:
    """One value that an evaluator found."""

    evaluator: str
    role: str
    metric: str
    then: float
    now: float | None

    @property
    def same(self) -> bool:
        return self.then == self.now or (self.now is not None and math.isnan(self.then) and math.isnan(self.now))

    def __str__(self) -> str:
        return f"{self.evaluator} {self.role} {self.metric}: {self.then!r} then, {self.now!r} now"


@dataclass(frozen=True)
class Verdict:
    """What the comparison of a run with its repetition found."""

    stages: Mapping[str, bool]
    """Whether each stage's result is the same, by slot, in order."""
    scores: tuple[Score, ...]
    inputs: tuple[str, ...]
    """What differs in the inputs of the first stage that differs; where none does, of any."""
    result: tuple[str, ...]
    """What differs in that stage's result."""
    environment: tuple[str, ...]
    """What differs between the environments that it was made in."""
    unknown: tuple[str, ...]
    """What cannot be known any more."""

    @property
    def first(self) -> str | None:
        return next((slot for slot, same in self.stages.items() if not same), None)

    @property
    def differing(self) -> tuple[Score, ...]:
        return tuple(score for score in self.scores if not score.same)

    @property
    def identical(self) -> bool:
        return self.first is None and not self.differing


def judge(repetition: Repetition) -> Verdict:
    """Compare every stage's digest and every score; explain the first stage that differs."""
    then, now = compared(repetition.then), {stage.slot: stage for stage in repetition.now.stages()}
    stages = {slot: slot in now and not now[slot].error and now[slot].digest == then[slot].digest for slot in then}
    scores = tuple(_scores(repetition.then, repetition.now))
    first = next((slot for slot, same in stages.items() if not same), None)
    if first is None:
        changes = dict.fromkeys(line for slot in then for line in _inputs(repetition, then[slot], now[slot]))
        environment = environments.differences(repetition.then, repetition.now)
        return Verdict(stages, scores, tuple(changes), (), tuple(environment), ())
    maker = environments.maker(repetition.then, first)
    return Verdict(
        stages,
        scores,
        inputs=tuple(_inputs(repetition, then[first], now.get(first))),
        result=tuple(_result(repetition, then[first], now.get(first))),
        environment=tuple(environments.differences(maker or repetition.then, repetition.now)),
        unknown=tuple(_unknown(repetition.then, then[first], maker)),
    )


def _scores(then: RunRecord, now: RunRecord) -> Iterator[Score]:
    for evaluator, roles in then.scores.items():
        for role, metrics in roles.items():
            metrics_now = now.scores.get(evaluator, {}).get(role, {})
            yield from (Score(evaluator, role, name, value, metrics_now.get(name)) for name, value in metrics.items())


def _inputs(repetition: Repetition, then: Finished, now: Finished | None) -> Iterator[str]:
    if now is None or then.key == now.key:
        return
    before, after = _made_of(repetition.then, then), _made_of(repetition.now, now)
    if before and after:
        yield from inputs.changes(before, after, repetition.steps[then.slot])
        return
    owners = repetition.then.plugins
    for name, owner in repetition.now.plugins.items():
        if name in owners and owners[name] != owner:
            yield f"{name}: its plugin is {owner} now, and was {owners[name]}"


def _result(repetition: Repetition, then: Finished, now: Finished | None) -> Iterator[str]:
    if now is None or now.error:
        yield f"fails now: {now.error.partition(': ')[2] or now.error}" if now and now.error else "is not made now"
        return
    before, after = _stored(repetition.then, then), _stored(repetition.now, now)
    if before and after:
        differences = result_differences.changes(before, after)
        # Other inputs are bound to give other weights; rows tell which inputs.
        yield from differences if then.key == now.key or (after.out / "corpus.jsonl").is_file() else ()


def _unknown(run: RunRecord, stage: Finished, maker: RunRecord | None) -> Iterator[str]:
    if _stored(run, stage) is None:
        yield f"the result of '{stage.slot}' is no longer in {run.store}, so only its digest can be compared"
    if maker is None:
        yield f"'{stage.slot}' was reused from an earlier run whose record is gone, so its environment is not known"
    elif maker.folder.resolve() != run.folder.resolve():
        yield f"'{stage.slot}' was reused from {maker.folder}, whose environment is the one compared"


def _stored(run: RunRecord, stage: Finished) -> Stored | None:
    """Return what a stage left, if it is still there as it was."""
    stored = Store(run.store).get(stage.key) if stage.key else None
    return stored if stored and stored.digest == stage.digest else None


def _made_of(run: RunRecord, stage: Finished) -> dict[str, Any] | None:
    """Return what a result was made of, from its manifest; the result itself may be damaged."""
    try:
        file = Store(run.store).folder(stage.key or "") / "manifest.json"
        return dict(json.loads(file.read_text("utf-8"))["made_of"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
