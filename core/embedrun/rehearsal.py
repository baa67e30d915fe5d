"""What a stage's method `rehearsal` is given: a folder of its own, and where to say what it replaces."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Note:
    """A sentence on what is replaced."""

    sentence: str
    unsure: bool = False
    """Whether it names something that the run itself may stop for; such are shown once more at the end."""


class Rehearsal(os.PathLike[str]):
    """The rehearsal of one stage; it can be used as the path of its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        """An empty folder, for what the stage makes up or would have written elsewhere."""
        self._notes: dict[Note, None] = {}

    def note(self, sentence: str, *, unsure: bool = False) -> None:
        """Say in one sentence what is replaced; it is shown under the stage.

        `unsure` marks what the run itself may stop for, such as data that is not here or credentials that are not
        found.
        """
        self._notes[Note(" ".join(sentence.split()), unsure)] = None

    @property
    def notes(self) -> list[Note]:
        """What was said, each sentence once."""
        return list(self._notes)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name
