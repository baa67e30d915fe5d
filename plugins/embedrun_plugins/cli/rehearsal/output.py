"""What is shown of a rehearsal: each stage, how it went, and what was replaced."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from embedrun.errors import UserError
from embedrun.finished import Finished
from embedrun.rehearsal import Note
from embedrun_plugins.cli.rehearsal.run import Outcome
from embedrun_plugins.stages.rehearsal.lenient import NOTE

SAID = "on a handful of rows, two steps of training, on the CPU, touching nothing outside this machine"


@dataclass
class _Row:
    """A stage, and what is noted of it."""

    slot: str
    type: str
    status: str
    notes: list[Note]
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
        lines += [f"    {note.sentence}" for note in row.notes]
    return "\n".join([*lines, *_verdict(outcome, rows)])


def _verdict(outcome: Outcome, rows: Iterable[_Row]) -> list[str]:
    if outcome.error:
        kept = [f"what was made before that: {outcome.kept}"] if outcome.kept else []
        return ["", f"rehearsed in {outcome.seconds:.0f} s: would not run: {outcome.error}", *kept]
    unsure = [f"  {row.slot}: {note.sentence}" for row in rows for note in row.notes if note.unsure]
    if not unsure:
        return ["", f"rehearsed in {outcome.seconds:.0f} s: would run"]
    return ["", f"rehearsed in {outcome.seconds:.0f} s: would run, except for what cannot be checked here:", *unsure]


def as_json(outcome: Outcome) -> str:
    """Return the same as one line of JSON."""
    error, rows = outcome.error, _rows(outcome)
    stages = [
        {
            **{name: getattr(row, name) for name in ("slot", "type", "status", "seconds", "warnings")},
            "replaced": [note.sentence for note in row.notes],
            "unsure": [note.sentence for note in row.notes if note.unsure],
        }
        for row in rows
    ]
    report = {
        "rehearsed": error is None,
        "error": str(error) if error else None,
        "seconds": outcome.seconds,
        "stages": stages,
        "not_rehearsed": sorted(outcome.left_out),
        "kept": str(outcome.kept) if outcome.kept else None,
    }
    return json.dumps(report)


def exit_code(outcome: Outcome) -> int:
    """Return 0, or what the run itself would end with: 2 where the user's input must change, else 1."""
    if outcome.error is None:
        return 0
    return UserError.exit_code if isinstance(outcome.error, UserError) else outcome.error.exit_code


def _rows(outcome: Outcome) -> list[_Row]:
    notes = dict(outcome.notes)
    rows = [_Row(slot, "", "replaced", notes.pop(slot)) for slot in ("model", "runtime") if notes.get(slot)]
    for step in outcome.steps:
        finished = outcome.finished.get(step.slot)
        row = _Row(step.slot, step.stage.type, _status(finished), list(notes.pop(_owner(step.slot, notes), [])))
        if step.slot == "trainer":
            row.notes += [Note(f"loss: {note.sentence}", note.unsure) for note in notes.pop("loss", [])]
        if finished:
            row.seconds, row.warnings = finished.seconds, list(finished.warnings)
            row.notes += [Note(str(finished.notes[NOTE]))] if NOTE in finished.notes else []
        rows.append(row)
    return rows + [_Row(slot, kind, "left out", notes.get(slot, [])) for slot, kind in outcome.left_out.items()]


def _status(finished: Finished | None) -> str:
    if finished is None:
        return "not reached"
    return "failed" if finished.error else "ok"


def _owner(slot: str, notes: dict[str, list[Note]]) -> str:
    """Return the slot under which a step's stage is noted: an evaluator's steps share theirs."""
    evaluator, _, role = slot.rpartition(".")
    return next((name for name in (slot, f"compare_with.{role}", evaluator) if name in notes), slot)
