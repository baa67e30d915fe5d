"""The inside of a container: `python -m embedrun_plugins.services.docker.entrypoint ARGUMENTS` is `embedrun ARGUMENTS`.

Standard input begins with a line of JSON, the variables that are secret, so that the engine never writes them down. It
then stays open for as long as whoever started the container lives; when it ends, the run is interrupted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from io import FileIO
from pathlib import Path

from embedrun import cli
from embedrun.errors import INTERRUPTED, UserError
from embedrun_plugins.services.docker import gpus

GRACE_SECONDS = 60.0
"""How long an interrupted run may take to end by itself."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command for as long as someone waits for it, and return its exit code."""
    # Unbuffered: a thread that waits in a buffered read keeps the interpreter from ending.
    line = os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0)
    variables = json.loads(line.readline() or b"{}")
    os.environ.update({str(name): str(value) for name, value in variables.items()})
    Path(os.environ.get("HOME", "/tmp")).mkdir(parents=True, exist_ok=True)  # noqa: S108  # a tmpfs
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(target=_outlive, args=(line,), daemon=True).start()
    if fault := gpus.fault():
        sys.stderr.write(f"{fault}\n")
        return UserError.exit_code
    return cli.main(arguments)


def _outlive(line: FileIO) -> None:
    """Interrupt the run when its caller is gone, and end it where that does not help."""
    while line.read(1):
        pass
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(GRACE_SECONDS)
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    sys.exit(main())
