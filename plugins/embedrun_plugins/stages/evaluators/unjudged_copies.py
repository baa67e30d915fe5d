"""Copies of a query's passage that nobody judged, so that to find them counts as a mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from embedrun_plugins.stages.texts.keys import near_key

if TYPE_CHECKING:
    from embedrun_plugins.stages.evaluators.retrieval_task import Task


def queries_with_copies(task: Task) -> int:
    """Count the queries for which a searched document is not relevant though it equals one that is.

    Texts that differ in case, white space and punctuation only are equal.
    """
    wanted = {document for relevant in task.relevant for document in relevant}
    keys = {document.id: near_key(document.full_text) for document in task.documents}
    copies: dict[int, set[str]] = {keys[document]: set() for document in wanted if document in keys}
    for document, key in keys.items():
        if key in copies:
            copies[key].add(document)
    return sum(
        any(not copies[keys[document]] <= relevant.keys() for document in relevant if document in keys)
        for relevant in task.relevant
    )
