"""What rows say about queries and documents, as columns of numbers: compact enough for millions of rows."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

from embedrun.artifacts import SPLITS, Split


@dataclass
class Links:
    """Which row says that which document answers which query (or does not), and how well."""

    rows: array[int] = field(default_factory=lambda: array("q"))
    queries: array[int] = field(default_factory=lambda: array("q"))
    documents: array[int] = field(default_factory=lambda: array("q"))
    scores: array[float] = field(default_factory=lambda: array("d"))

    def add(self, row: int, query: int, document: int, score: float) -> None:
        self.rows.append(row)
        self.queries.append(query)
        self.documents.append(document)
        self.scores.append(score)

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[tuple[int, int, int, float]]:
        """Yield row, query, document and score."""
        return zip(self.rows, self.queries, self.documents, self.scores, strict=True)


@dataclass
class Relations:
    """All that the rows say: judged pairs, given negatives, and the split of each row as an index into SPLITS."""

    pairs: Links = field(default_factory=Links)
    negatives: Links = field(default_factory=Links)
    row_splits: array[int] = field(default_factory=lambda: array("b"))

    def add_row(self, split: Split) -> int:
        """Return the number of a new row of a split."""
        self.row_splits.append(SPLITS.index(split))
        return len(self.row_splits) - 1

    def splits(self) -> list[Split]:
        present = set(self.row_splits)
        return [split for number, split in enumerate(SPLITS) if number in present]


class SplitJudgements:
    """The judgements of one split: the score of each (query, document), the highest where rows disagree."""

    def __init__(self, relations: Relations, split: Split, width: int, *, graded: bool = True) -> None:
        self.width = width
        self.scores: dict[int, float] = {}
        self.given = self.conflicts = 0
        number = SPLITS.index(split)
        for row, query, document, score in relations.pairs:
            if relations.row_splits[row] == number:
                self._judge(query * width + document, score if graded else 1.0)

    def _judge(self, key: int, score: float) -> None:
        self.given += 1
        before = self.scores.setdefault(key, score)
        if before != score:
            self.conflicts += 1
            self.scores[key] = max(before, score)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield query and document of what is judged relevant."""
        return (divmod(key, self.width) for key, score in self.scores.items() if score > 0)

    def items(self) -> Iterator[tuple[int, int, float]]:
        """Yield query, document and score of all that is judged."""
        return ((*divmod(key, self.width), score) for key, score in self.scores.items())

    def has(self, query: int, document: int) -> bool:
        return self.scores.get(query * self.width + document, 0.0) > 0
