"""What can go wrong, and whose turn it is.

EmbedrunError            printed bare by the command line; anything else is a bug and shows a traceback
├── UserError            exit 2: the recipe, its data or the command line must change
│   ├── RecipeError      one or more problems, each with its place in the file
│   ├── DataError        a row or a file that cannot be read as what it should be
│   └── MissingPackageError   an optional package is not installed; says which extra brings it
├── PluginError          exit 2: a plugin breaks the contract; names its owner
├── StoreError           exit 1: the store cannot be read or written
└── StageError           exit 1: a stage failed while it ran
    └── RequirementError exit 1: it ran, but a limit that the recipe sets does not hold
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import ClassVar

_MOST_NAMES = 30
INTERRUPTED = 130
"""Exit code of what the user ended."""


class EmbedrunError(Exception):
    """Root of every error that is explained to the user instead of shown as a traceback."""

    exit_code: ClassVar[int] = 1


class UserError(EmbedrunError):
    """The user's input must change."""

    exit_code = 2


class DataError(UserError):
    """A row or a file that cannot be read as what it should be."""


class MissingPackageError(UserError):
    """An optional package is missing."""

    def __init__(self, needed_by: str, package: str, extra: str) -> None:
        super().__init__(
            f"{needed_by}: needs the package '{package}', which is not installed; pip install 'embedrun[{extra}]'"
        )


class PluginError(EmbedrunError):
    """A plugin breaks the contract."""

    exit_code = 2


class StoreError(EmbedrunError):
    """The store cannot be read or written."""


class StageError(EmbedrunError):
    """A stage failed while it ran."""


class RequirementError(StageError):
    """A stage ran, but a limit that the recipe sets does not hold."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe: where in it, and what to do about it."""

    path: tuple[str | int, ...]
    message: str
    at_key: bool = False


class RecipeError(UserError):
    """Everything wrong with a recipe, one line each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = tuple(lines)


def suggest(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean 'x'?`, or the allowed words where nothing is close."""
    names = sorted(set(known))
    close = get_close_matches(word.lower(), [name.lower() for name in names], n=1)
    if close:
        return f"; did you mean '{next(name for name in names if name.lower() == close[0])}'?"
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"; allowed: {', '.join(names[:_MOST_NAMES])}{more}" if names else ""


def printable(text: str) -> str:
    """Return text whose control characters are written as escapes, so that no data steers the terminal it is shown on.

    Those are C0 and C1 but for tab and newline, those that turn the direction of writing, and halves of characters.
    """
    steering = "[\0-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(steering, lambda match: match[0].encode("unicode_escape").decode("ascii"), text)
