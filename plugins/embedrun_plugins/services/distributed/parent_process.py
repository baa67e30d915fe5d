"""What a process has to do with the one that started it: it ends with it, and writes events to it among its log."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from embedrun.errors import EmbedrunError, UserError

VARIABLE = "EMBEDRUN_PARENT"
"""Names the process whose end is this one's."""
_SECONDS = 0.5
_MARK = "\x1eembedrun "


def end_with_parent() -> None:
    """End this process at once when its parent is gone, which may have been killed without a word to it."""
    parent = int(os.environ[VARIABLE])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def write_event(event: str, **values: Any) -> None:
    """Write a line of JSON at once, or another process's log might come between its parts."""
    print(f"\n{_MARK}{json.dumps({'event': event, **values})}\n", end="", flush=True)  # noqa: T201 - the parent reads it


def read_event(line: str) -> dict[str, Any] | None:
    """Return the event that a line holds; None where it belongs to the log."""
    return dict(json.loads(line.removeprefix(_MARK))) if line.startswith(_MARK) else None


def run_worker(work: Callable[[], None]) -> None:
    """Do one process's share of a training, and say how it ended where that is not with its result."""
    end_with_parent()
    from torch import distributed

    try:
        work()
    except KeyboardInterrupt:
        write_event("stopped")
    except Exception as error:
        reason = {"explained": isinstance(error, EmbedrunError), "user": isinstance(error, UserError)}
        write_event("error", type=type(error).__name__, message=str(error), **reason)
        raise
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
