"""What an audit of mined negatives found: how many seem to be answers, and the worst with their texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from embedrun.record import RunRecord
from embedrun_plugins.results.report.markup import Markup, clipped, element, folded, table

_LENGTH = 200
"""Letters of a text that are shown."""


def audits(run: RunRecord) -> Iterator[Markup]:
    """Yield a sentence and a table for each stage that audited its negatives."""
    for stage in run.stages():
        audit = stage.notes.get("audit")
        if isinstance(audit, dict):
            yield element("p", _said(audit))
            if worst := audit.get("worst"):
                yield folded("The mined negatives most like an answer", _worst(worst))


def _said(audit: Mapping[str, Any]) -> str:
    return (
        f"Of {audit.get('sampled', 0):,} mined negatives looked at, {audit.get('false', 0):,} seem to be answers "
        f"({audit.get('share', 0):.1%}, 95% interval {audit.get('low', 0):.1%} to {audit.get('high', 0):.1%}), as "
        f"judged by {audit.get('judge', 'its judge')}."
    )


def _worst(rows: list[Mapping[str, Any]]) -> Markup:
    cells = [
        [
            clipped(str(row.get("query", "")), _LENGTH),
            clipped(str(row.get("negative", "")), _LENGTH),
            f"{row.get('score', 0):.3f}",
            clipped(str(row.get("answer", "")), _LENGTH),
            f"{row.get('answer_score', 0):.3f}",
        ]
        for row in rows
    ]
    return table(
        "Mined negatives most like an answer", ["query", "negative", "score", "answer", "score"], cells, words=True
    )
