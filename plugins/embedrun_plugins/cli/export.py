"""A run's training set in the form that another tool reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from embedrun import RetrievalSet, RunRecord, UserError
from embedrun_plugins.cli.arguments import write_new
from embedrun_plugins.stages.trainers.flag.groups import groups, has_teacher_scores, lines

FORMS = ("flag",)
"""flag: FlagEmbedding's {"query", "pos": […], "neg": […]}, one question a line."""
_SETS = ("source", "generator", "filters", "negatives")


def export_flag(record: RunRecord, file: Path | None) -> int:
    """Write what the run trains on to a new file, or print it; return how many questions have no negative.

    Raises UserError where there is no such set, nothing in it to train on, or the file is there already.
    """
    data = training_set(record)
    questions = groups(data)
    if not questions:
        raise UserError(f"{data.path}: the train split has no query with a relevant document, so nothing to export")
    scores = has_teacher_scores(questions)
    json_lines = (json.dumps(line, ensure_ascii=False) + "\n" for line in lines(data, questions, scores=scores))
    if file is None:
        sys.stdout.writelines(json_lines)
    else:
        write_new(file, "".join(json_lines))
    return sum(not group.negatives for group in questions)


def training_set(record: RunRecord) -> RetrievalSet:
    """Return the last set that a run made: with negatives, if it mined any. Raises UserError where there is none."""
    slots = [stage.slot for stage in record.stages() if stage.slot.split(".")[0] in _SETS and not stage.error]
    if not slots:
        raise UserError(f"{record.folder}: this run made no data that could be exported")
    folder = record.artifact(slots[-1])
    if folder is None:
        raise UserError(
            f"{record.folder}: the result of '{slots[-1]}' is no longer in {record.store}; run the recipe again, "
            f"with --until {slots[-1]}"
        )
    return RetrievalSet(folder)
