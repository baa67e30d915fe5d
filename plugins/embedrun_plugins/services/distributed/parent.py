"""A process that ends with the one that started it, however that ended."""

from __future__ import annotations

import os
import threading
import time

VARIABLE = "EMBEDRUN_PARENT"
"""Names the process whose end is this one's."""
_SECONDS = 0.5


def end_with_parent() -> None:
    """End this process at once when its parent is gone, which may have been killed without a word to it."""
    parent = int(os.environ[VARIABLE])

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
