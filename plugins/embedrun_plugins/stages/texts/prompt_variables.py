"""Prompts with variables in single braces: what is wrong with one, and filling it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from embedrun.errors import suggest

_BRACES = re.compile(r"(\{+)([ \w.\-:!\[\]$]+)(\}+)")
"""What looks like a variable; braces around anything else, as in JSON, are text."""


@dataclass(frozen=True)
class PromptVariables:
    """What a user's own prompt may name, and what it must."""

    meaning: Mapping[str, str]
    """What each variable becomes."""
    other_names: Mapping[str, str]
    """The variables that names of other tools mean."""
    needed: Collection[str]
    """Variables that must be used."""
    unset: Mapping[str, str] = field(default_factory=dict)
    """Variables that there is no value for, with what to do."""

    def faults(self, text: str) -> Iterator[str]:
        """Say what is wrong: an unknown variable, one that is missing, or one that there is no value for."""
        used = set()
        for match in _BRACES.finditer(text):
            used.add(match[2].strip())
            if fault := self._fault(match):
                before = text[: match.start()]
                yield f"line {before.count(chr(10)) + 1}, column {match.start() - before.rfind(chr(10))}: {fault}"
        meant = {self.other_names.get(word.lower(), word) for word in used}
        for name in self.needed:
            if name not in meant:
                yield f"'{{{name}}}' is not used, so the model would not see {self.meaning[name]}; add it"

    def _fault(self, match: re.Match[str]) -> str | None:
        name = match[2].strip()
        meant = name if name in self.meaning else self.other_names.get(name.lower())
        if meant is None or match[0] != f"{{{meant}}}":
            hint = f"; did you mean '{{{meant}}}'?" if meant else suggest(name, self.meaning)
            if meant and name in self.meaning:
                return f"a variable is its exact name in single braces: not '{match[0]}'{hint}"
            return f"there is no variable '{match[0]}', so the model would see it unchanged{hint}"
        return self.unset.get(meant)


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the variables in one pass, so that braces in a passage stay what they are."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
