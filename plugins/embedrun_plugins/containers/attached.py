"""A container that runs for as long as this process lives, its output shown as if it ran here."""

from __future__ import annotations

import codecs
import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.containers import gpus
from embedrun_plugins.containers.watching import Ending, Watch


def carry_out(client: Any, options: Mapping[str, Any], secrets: Mapping[str, str]) -> Ending:
    """Create and start a container, show what it prints on standard error, and wait until it is gone.

    Ctrl-C interrupts what runs in it; a second one kills it. If this process is killed, its standard input ends, which
    `embedrun_plugins.containers.inside` takes as the order to stop; the engine then removes it.

    Raises UserError where the engine refuses to start it, StageError where the engine goes away.
    """
    # Attached streams let the container's standard input end with this process.
    with _created(client, dict(options)) as container, Watch(client, container.id) as watch:
        line = client.api.attach_socket(container.id, params={"stdin": 1, "stream": 1})
        output = client.api.attach(container.id, stdout=True, stderr=True, stream=True)
        _start(container)
        getattr(line, "_sock", line).sendall(json.dumps(dict(secrets)).encode() + b"\n")
        interrupted = _show(container, output)
        ending = watch.ending()
        line.close()
        # What Ctrl-C sent is no death from outside.
        return Ending(ending.code, ending.out_of_memory, () if interrupted else ending.signals)


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
    said = str(error.explanation or error)
    if about_gpus := gpus.refusal(said):
        return about_gpus
    if "exec format error" in said:
        return "runtime.image: is for another kind of processor than this machine's; build one: embedrun image build"
    if "bind source path does not exist" in said:
        return f"runtime.mounts: {said.rsplit(':', 1)[-1].strip()}: no such file or folder on the engine's machine"
    if "no space left on device" in said:
        return "runtime: the engine's disk is full; `docker system df` shows what fills it"
    return f"runtime: the engine refuses to start the container: {said}"


def _show(container: Any, output: Iterator[bytes]) -> bool:
    """Show what a container prints until it ends; return whether it was interrupted from here."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    interrupted = False
    while True:
        try:
            for piece in output:
                sys.stderr.write(decoder.decode(piece))
                sys.stderr.flush()
        except KeyboardInterrupt:
            _kill(container, "SIGKILL" if interrupted else "SIGINT")
            interrupted = True
            continue
        except Exception:  # noqa: BLE001  # the engine's end breaks the stream in many ways; the watch says what it was
            return interrupted
        return interrupted


def _kill(container: Any, signal: str) -> None:
    from docker.errors import DockerException

    with contextlib.suppress(DockerException, OSError):
        container.kill(signal=signal)
