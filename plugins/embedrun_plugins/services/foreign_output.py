"""What other programs print, shown here: in a container or a job, which may run what nobody here has read."""

from __future__ import annotations

import re

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_CONTROL = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""All that steers a terminal, or turns the direction of writing, but for tabs and line ends."""


def shown(text: str) -> str:
    r"""Return text without colours, and with what else would steer the terminal written as `\x1b` and the like."""
    return _CONTROL.sub(_escaped, _COLOUR.sub("", text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")
