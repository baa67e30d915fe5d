"""Which queries rise and fall together, and so count as one when it is asked how sure a difference is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from embedrun.artifacts import Document
from embedrun.errors import DataError
from embedrun_plugins.stages.texts.keys import joined

if TYPE_CHECKING:
    from embedrun_plugins.stages.evaluators.retrieval_task import Task

Clusters = Literal["document", "source", "none"]

SOURCE_KEYS = ("source", "filing", "file", "user")
"""Where a passage's or query's metadata may name what it is from, the first that it holds."""
FEWEST_SOURCES = 30
"""Sources from which on they are the units by default: an interval of fewer units is wide, and too short at times."""
_FILE = "units.json"


@dataclass(frozen=True)
class QueryUnits:
    """The independent unit of each query, by its id."""

    by: str
    """What makes queries one unit: document, source or none."""
    units: Mapping[str, int]

    @classmethod
    def of(cls, task: Task, chosen: Clusters | None) -> QueryUnits:
        """Group a task's queries: by documents, or by sources where there are enough of them, unless chosen otherwise.

        Queries are one unit where they share a relevant document or have nearly equal ones, and by sources also where
        these are from the same one; what is joined to the same is joined. Raises DataError where sources are chosen
        and none is known.
        """
        identifiers = [query.id for query in task.queries]
        if chosen == "none":
            return cls("none", {query: number for number, query in enumerate(identifiers)})
        groups, sources = list(_documents(task)), list(_sources(task))
        if chosen == "source" and not any(sources):
            raise DataError(
                "evaluator.clusters: source: no passage or query says what it is from (metadata looked at: "
                f"{', '.join(SOURCE_KEYS)}); name the column in source.columns.metadata, or choose document"
            )
        by_document, by_source = joined(groups), joined(groups, sources)
        enough = all(sources) and len(set(by_source)) >= FEWEST_SOURCES
        by: Clusters = chosen or ("source" if enough else "document")
        roots = by_source if by == "source" else by_document
        return cls(by, dict(zip(identifiers, roots, strict=True)))

    @classmethod
    def read(cls, folder: Path) -> QueryUnits:
        """Read what `write` left with a model's scores; without it, every query is its own unit."""
        file = folder / _FILE
        if not file.is_file():
            return cls("none", {})
        content = json.loads(file.read_text("utf-8"))
        return cls(content["by"], content["units"])

    def write(self, folder: Path) -> None:
        content = {"by": self.by, "units": self.units}
        (folder / _FILE).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", "utf-8")

    def __len__(self) -> int:
        return len(set(self.units.values()))

    def numbered(self, queries: Sequence[str]) -> list[int]:
        """Return the unit of each query as a number from 0; one that no unit names is its own."""
        numbers: dict[int | str, int] = {}
        return [numbers.setdefault(self.units.get(query, query), len(numbers)) for query in queries]


def _documents(task: Task) -> Iterator[list[str | int]]:
    """Yield the relevant documents of each query, near copies as one."""
    from embedrun_plugins.stages.texts.near_duplicates import document_clusters

    documents = _relevant_documents(task)
    numbers = dict(zip(documents, document_clusters(list(documents.values())).tolist(), strict=True))
    for relevant in task.relevant:
        yield [numbers.get(document, document) for document in relevant]


def _sources(task: Task) -> Iterator[list[str | int]]:
    """Yield what each query's relevant documents, or it itself, are from."""
    documents = _relevant_documents(task)
    for query, relevant in zip(task.queries, task.relevant, strict=True):
        metadata = [query.metadata, *(documents[document].metadata for document in relevant if document in documents)]
        names = (next((values[key] for key in SOURCE_KEYS if values.get(key)), None) for values in metadata)
        yield [str(name) for name in names if name is not None]


def _relevant_documents(task: Task) -> dict[str, Document]:
    wanted = {document for relevant in task.relevant for document in relevant}
    return {document.id: document for document in task.documents if document.id in wanted}
