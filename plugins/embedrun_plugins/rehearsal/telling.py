"""What a stage's rehearsal tells of what was replaced, kept beside what it made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_FILE = "told.jsonl"


@dataclass(frozen=True)
class Told:
    """A sentence about a stage."""

    sentence: str
    unsure: bool = False
    """Whether it names something that the run itself may stop for; such are shown once more at the end."""


def tell(folder: Path, sentence: str, *, unsure: bool = False) -> None:
    """Say in one sentence what a rehearsal replaced; it is shown under the stage.

    `folder` is the one that `Stage.rehearsal` was given. `unsure` marks what the run itself may stop for, such as
    data that is not here or credentials that are not found.
    """
    told = Told(" ".join(sentence.split()), unsure)
    with (folder / _FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(told), ensure_ascii=False) + "\n")


def told(folder: Path) -> list[Told]:
    """Return what was told, each sentence once."""
    return list(dict.fromkeys(_read(folder / _FILE)))


def _read(file: Path) -> Iterator[Told]:
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        yield Told(**json.loads(line))
