"""What a held-out split shares with the training of the set that models are judged by."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from embedrun.artifacts import RetrievalSet, Scores, Split
from embedrun_plugins.results import roles
from embedrun_plugins.results.stored_texts import texts, word

_INSIGNIFICANT = re.compile(r"[\W_]+")
_FILE = "train_overlap.json"


@dataclass(frozen=True)
class TrainOverlap:
    """Distinct relevant passages and queries of a split, and how many of each are trained on.

    Texts that differ in case, white space and punctuation only are the same.
    """

    passages: int
    passages_trained_on: int
    queries: int
    queries_trained_on: int

    @classmethod
    def of(cls, data: RetrievalSet, split: Split) -> TrainOverlap:
        """Compare a split with the train split as the set's files are now, after every filter."""
        train, held_out = data.relevant("train"), data.relevant(split)
        passages = [{document for relevant in part.values() for document in relevant} for part in (train, held_out)]
        trained, tested = (_keys(data.path / "corpus.jsonl", part) for part in passages)
        trained_queries, queries = (_keys(data.path / "queries.jsonl", part) for part in (train, held_out))
        return cls(len(tested), len(tested & trained), len(queries), len(queries & trained_queries))

    @classmethod
    def read(cls, folder: Path) -> TrainOverlap | None:
        """Read what `write` left with a model's scores."""
        file = folder / _FILE
        return cls(**json.loads(file.read_text("utf-8"))) if file.is_file() else None

    def write(self, folder: Path) -> None:
        (folder / _FILE).write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")

    @property
    def share(self) -> float:
        """The part of the split's passages that is trained on."""
        return self.passages_trained_on / self.passages if self.passages else 0.0


def _keys(file: Path, identifiers: Collection[str] | Mapping[str, object]) -> set[str]:
    """Return the texts of some queries or documents as far as letters and digits go; each id stands for one text."""
    wanted = {word(identifier) for identifier in identifiers}
    return {_INSIGNIFICANT.sub(" ", text.casefold()).strip() for text in texts(file, wanted).values()}


def exceeded(scores: Mapping[str, Scores], split: Split, most: float) -> Iterator[str]:
    """Say where more of a split's passages are trained on than may be; without a tuned model nothing is."""
    last = roles.last(scores)
    overlap = TrainOverlap.read(scores[last].path) if last != "base" else None
    if overlap and overlap.share > most:
        yield (
            f"{overlap.passages_trained_on:,} of the {overlap.passages:,} passages of the {split} split "
            f"({overlap.share:.1%}) are trained on; max_trained_on allows {most:.1%}"
        )
