"""What other programs print, shown here: in a container or a job, which may run what nobody here has read."""

from __future__ import annotations

import re

from embedrun.errors import printable

_COLOUR = re.compile(r"\x1b\[[\d;]*m")


def shown(text: str) -> str:
    r"""Return text without colours, and with what else would steer the terminal written as `\x1b` and the like.

    A carriage return stays: it is how progress is shown on one line.
    """
    return "\r".join(map(printable, _COLOUR.sub("", text).split("\r")))
