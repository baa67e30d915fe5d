"""Scores by the style that generated queries were asked in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedrun_plugins.stages.evaluators.retrieval_task import Task

_FILE = "styles.json"


@dataclass(frozen=True)
class QueryStyles:
    """The style of each query that has one, by its id."""

    styles: Mapping[str, str]

    @classmethod
    def of(cls, task: Task) -> QueryStyles:
        from embedrun_plugins.results.query_metadata import STYLE

        known = {query.id: query.metadata.get(STYLE) for query in task.queries}
        return cls({query: style for query, style in known.items() if isinstance(style, str)})

    @classmethod
    def read(cls, folder: Path) -> QueryStyles:
        """Read what `write` left with a model's scores."""
        file = folder / _FILE
        return cls(json.loads(file.read_text("utf-8")) if file.is_file() else {})

    def write(self, folder: Path) -> None:
        """Write the styles, where there are any."""
        if self.styles:
            (folder / _FILE).write_text(json.dumps(self.styles, ensure_ascii=False, indent=1) + "\n", "utf-8")

    def parts(self, values: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Return a metric's values by query id for each style, in the order of their names."""
        parts: dict[str, dict[str, float]] = {}
        for query, value in values.items():
            if query in self.styles:
                parts.setdefault(self.styles[query], {})[query] = value
        return dict(sorted(parts.items()))
