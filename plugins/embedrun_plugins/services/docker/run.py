"""A container that runs for as long as this process lives, its output shown as if it ran here."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from embedrun.errors import StageError, UserError
from embedrun_plugins.services.docker import gpus
from embedrun_plugins.services.docker.engine import answering
from embedrun_plugins.services.docker.events import ContainerExit, Watch
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.services.remote_run import AGAIN


def execute(client: Any, options: Mapping[str, Any], secrets: Mapping[str, str]) -> ContainerExit:
    """Create and start a container, show what it prints on standard error, and wait until it is gone.

    Ctrl-C interrupts what runs in it; a second one kills it. If this process is killed, the container's standard input
    ends, which `embedrun_plugins.services.docker.entrypoint` takes as the order to stop; the engine then removes it.

    Raises UserError where the engine refuses to start it, StageError where the engine goes away, or standard error.
    """
    with (
        answering("runtime", AGAIN),
        _created(client, dict(options)) as container,
        Watch(client, container.id) as watch,
        contextlib.closing(_Line(client, container.id)) as line,
    ):
        _start(container)
        line.send(json.dumps(dict(secrets)).encode() + b"\n")
        interrupted = _follow(container, line)
        ending = watch.ending()
        # What Ctrl-C sent is no death from outside.
        return ContainerExit(ending.code, ending.out_of_memory, () if interrupted else ending.signals)


class _Line:
    """A container's standard streams. When the input's other end is closed, by whatever, the container is told."""

    def __init__(self, client: Any, container_id: str) -> None:
        streams = dict.fromkeys(("stdin", "stdout", "stderr", "stream"), 1)
        self._stream = client.api.attach_socket(container_id, params=streams)
        self._socket = getattr(self._stream, "_sock", self._stream)

    def send(self, text: bytes) -> None:
        with contextlib.suppress(ConnectionError):  # it has ended already; its ending says how
            self._socket.sendall(text)

    def read(self) -> Iterator[str]:
        """Yield what the container prints until it ends, or the engine does."""
        from docker.utils.socket import frames_iter

        decoders = [codecs.getincrementaldecoder("utf-8")("replace") for _ in range(3)]
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, here or by the engine
            for stream, piece in frames_iter(self._stream, tty=False):
                yield decoders[stream].decode(piece)

    def close(self) -> None:
        for part in (getattr(self._stream, "_response", None), self._stream, self._socket):
            if part is not None:
                with contextlib.suppress(OSError, ValueError):  # closing one may have closed the other
                    part.close()


def _follow(container: Any, line: _Line) -> bool:
    """Show what a container prints until it ends; return whether it was interrupted from here.

    Raises StageError where it cannot be shown any more, as a run here would end, too.
    """
    broken: list[Exception] = []

    def show() -> None:
        try:
            for text in line.read():
                sys.stderr.write(shown(text))
                sys.stderr.flush()
        except (OSError, ValueError) as error:  # a pipe that nobody reads any longer; closed
            broken.append(error)

    # Ctrl-C comes to the main thread, in the midst of whatever it reads.
    printing = threading.Thread(target=show, daemon=True)
    printing.start()
    interrupted = False
    while printing.is_alive():
        try:
            printing.join(0.5)
        except KeyboardInterrupt:
            _kill(container, "SIGKILL" if interrupted else "SIGINT")
            interrupted = True
    if broken:
        raise StageError(f"runtime: standard error, where the run is shown, cannot be written: {broken[0]}; {AGAIN}")
    return interrupted


@contextmanager
def _created(client: Any, options: dict[str, Any]) -> Iterator[Any]:
    """Create a container, and leave none behind, whether it ever started or not."""
    from docker.errors import APIError, DockerException

    try:
        container = client.containers.create(**options, stdin_open=True, auto_remove=True)
    except APIError as error:
        raise UserError(_refusal(error)) from error
    try:
        yield container
    finally:
        with contextlib.suppress(DockerException, OSError):  # it has removed itself, or the engine is gone
            container.remove(force=True)


def _start(container: Any) -> None:
    from docker.errors import APIError

    try:
        container.start()
    except APIError as error:
        raise UserError(_refusal(error)) from error


def _refusal(error: Any) -> str:
    return gpus.explained(str(error.explanation or error), "runtime", "runtime.gpus")


def _kill(container: Any, signal: str) -> None:
    from docker.errors import DockerException

    with contextlib.suppress(DockerException, OSError):
        container.kill(signal=signal)
