"""What is shown of a rehearsal: each stage, how it went, and what was replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from embedrun.errors import UserError
from embedrun.finished import Finished
from embedrun_plugins.cli.rehearsal.run import Outcome
from embedrun_plugins.stages.rehearsal.lenient import NOTE
from embedrun_plugins.stages.rehearsal.stand_ins import Told

SAID = "on a handful of rows, two steps of training, on the CPU, with nothing outside touched"


@dataclass
class _Row:
    """A stage, and what is told of it."""

    slot: str
    type: str
    status: str
    told: list[Told]
    seconds: float | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.slot} ({self.type})" if self.type else self.slot


def as_text(outcome: Outcome) -> str:
    """Return a line for each stage, with what was replaced below it, and what that comes to."""
    rows = _rows(outcome)
    wide = max((len(row.name) for row in rows), default=0)
    lines = []
    for row in rows:
        took = f"{row.seconds:6.1f} s" if row.seconds is not None else ""
        lines.append(f"{row.name.ljust(wide)}  {row.status:<11}{took}".rstrip())
        lines += [f"    {one.sentence}" for one in row.told]
    return "\n".join([*lines, *_verdict(outcome, rows)])


def _verdict(outcome: Outcome, rows: Iterable[_Row]) -> list[str]:
    if outcome.error:
        kept = [f"what was made until then: {outcome.kept}"] if outcome.kept else []
        return ["", f"rehearsed in {outcome.seconds:.0f} s: would not run: {outcome.error}", *kept]
    unsure = [f"  {row.slot}: {one.sentence}" for row in rows for one in row.told if one.unsure]
    if not unsure:
        return ["", f"rehearsed in {outcome.seconds:.0f} s: would run"]
    return ["", f"rehearsed in {outcome.seconds:.0f} s: would run, but for what is not known here:", *unsure]


def as_json(outcome: Outcome) -> str:
    """Return the same as one line of JSON."""
    error, rows = outcome.error, _rows(outcome)
    stages = [
        {
            **{name: getattr(row, name) for name in ("slot", "type", "status", "seconds", "warnings")},
            "replaced": [one.sentence for one in row.told],
            "unsure": [one.sentence for one in row.told if one.unsure],
        }
        for row in rows
    ]
    found = {
        "rehearsed": error is None,
        "error": str(error) if error else None,
        "seconds": outcome.seconds,
        "stages": stages,
        "not_rehearsed": sorted(outcome.left_out),
        "kept": str(outcome.kept) if outcome.kept else None,
    }
    return json.dumps(found)


def exit_code(outcome: Outcome) -> int:
    """Return 0, or what the run itself would end with: 2 where the user's input must change, else 1."""
    if outcome.error is None:
        return 0
    return UserError.exit_code if isinstance(outcome.error, UserError) else outcome.error.exit_code


def _rows(outcome: Outcome) -> list[_Row]:
    told = dict(outcome.told)
    rows = [_Row(slot, "", "replaced", told.pop(slot)) for slot in ("model", "runtime") if told.get(slot)]
    for step in outcome.steps:
        done = outcome.finished.get(step.slot)
        row = _Row(step.slot, step.stage.type, _status(done), told.pop(_owner(step.slot, told), []))
        if step.slot == "trainer":
            row.told = [*row.told, *(Told(f"loss: {one.sentence}", one.unsure) for one in told.pop("loss", []))]
        if done:
            row.seconds, row.warnings = done.seconds, list(done.warnings)
            row.told = [*row.told, *([Told(str(done.notes[NOTE]))] if NOTE in done.notes else [])]
        rows.append(row)
    return rows + [_Row(slot, kind, "left out", told.get(slot, [])) for slot, kind in outcome.left_out.items()]


def _status(done: Finished | None) -> str:
    if done is None:
        return "not reached"
    return "failed" if done.error else "ok"


def _owner(slot: str, told: dict[str, list[Told]]) -> str:
    """Return the slot under which a step's stage was told of: an evaluator's steps share theirs."""
    place, _, role = slot.rpartition(".")
    return next((name for name in (slot, f"compare_with.{role}", place) if name in told), slot)
