"""What the training processes tell the one that started them: lines of JSON among those of their log."""

from __future__ import annotations

import json
from typing import Any

_MARK = "\x1eembedrun "


def tell(event: str, **values: Any) -> None:
    """Write a line at once, or another process's log might come between its parts."""
    print(f"\n{_MARK}{json.dumps({'event': event, **values})}\n", end="", flush=True)  # noqa: T201 - how it tells


def told(line: str) -> dict[str, Any] | None:
    """Return what a line tells; None where it belongs to the log."""
    return dict(json.loads(line.removeprefix(_MARK))) if line.startswith(_MARK) else None
