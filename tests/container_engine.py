"""A real container engine for tests: the one that answers here, else Debian's, started for the tests alone.

Ours has its own socket, state and process id, in the cache folder, so that no other engine is touched and a second run
finds what the first one built. Several runs share it; the last one stops it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import standin_base
from embedrun.errors import EmbedrunError
from embedrun_plugins.services.docker import engine

FALLBACK = "python:3.12-slim"
"""Base where the stand-in cannot be made, but perhaps a registry answers."""
WAYS = ([], ["--iptables=false", "--bridge=none"], ["--iptables=false", "--bridge=none", "--storage-driver=vfs"])
"""How the engine is started, from what it likes best to what works where the kernel offers little."""
SECONDS = 60
STATE = Path("/run/embedrun-tests")
"""Where its socket is, whose path may be no longer than about a hundred characters."""


class NoEngineError(Exception):
    """There is no engine, and none can be started."""


@contextlib.contextmanager
def running() -> Iterator[str | None]:
    """Yield the address of an engine for as long as it is needed; None where the usual one answers.

    Raises NoEngineError, with the reason, where there is none.
    """
    try:
        engine.client().close()
    except EmbedrunError as error:
        with _shared(str(error)) as address:
            yield address
    else:
        yield None


@contextlib.contextmanager
def _shared(why: str) -> Iterator[str]:
    if sys.platform != "linux" or os.getuid() != 0 or shutil.which("dockerd") is None:
        raise NoEngineError(f"{why}; none can be started, which takes root and `dockerd`")
    folder = standin_base.cached("engine")
    folder.mkdir(exist_ok=True)
    with (folder / "used").open("w") as used, (folder / "starting").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        fcntl.flock(used, fcntl.LOCK_SH)
        address = _started(folder)
        fcntl.flock(starting, fcntl.LOCK_UN)
        try:
            yield address
        finally:
            fcntl.flock(starting, fcntl.LOCK_EX)
            fcntl.flock(used, fcntl.LOCK_UN)
            with contextlib.suppress(BlockingIOError):  # somebody else still uses it
                fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
                try:
                    _tidy(address)
                finally:
                    _stop()


def _started(folder: Path) -> str:
    address = f"unix://{STATE}/docker.sock"
    if _answers(address):
        return address
    STATE.mkdir(exist_ok=True)
    for options in WAYS:
        command = [
            "dockerd",
            "--host",
            address,
            "--data-root",
            str(folder / "data"),
            "--exec-root",
            str(STATE / "exec"),
        ]
        pid = _spawn([*command, "--pidfile", str(STATE / "dockerd.pid"), *options], folder / "dockerd.log")
        if _comes_up(pid, address):
            return address
        _end(pid)
    lines = (folder / "dockerd.log").read_text("utf-8", "replace").splitlines()
    raise NoEngineError(f"dockerd does not start: {lines[-1] if lines else 'it says nothing'}")


def _spawn(command: list[str], log: Path) -> int:
    """Start a process that outlives this one, where another run still uses it."""
    with log.open("w") as file:
        streams = [(os.POSIX_SPAWN_DUP2, file.fileno(), number) for number in (1, 2)]
        return os.posix_spawnp(command[0], command, os.environ, file_actions=streams, setsid=True)


def _comes_up(pid: int, address: str) -> bool:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and os.waitpid(pid, os.WNOHANG) == (0, 0):
        if _answers(address):
            return True
        time.sleep(0.2)
    return False


def _answers(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        try:
            line.connect(address.removeprefix("unix://"))
            line.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            return b" 200 " in line.recv(64)
        except OSError:
            return False


def _tidy(address: str) -> None:
    """Keep the newest image for the next run to build on, and the stand-in base; remove what earlier ones left."""
    import docker

    with contextlib.closing(docker.DockerClient(address, version="auto")) as client:
        built = [image for image in client.images.list("embedrun") if image.tags]
        for image in sorted(built, key=lambda image: str(image.attrs["Created"]))[:-1]:
            with contextlib.suppress(docker.errors.APIError):  # another was built on it, and is kept
                client.images.remove(image.id, force=True)
        client.images.prune({"dangling": True})


def _stop() -> None:
    with contextlib.suppress(OSError, ValueError):
        _end(int((STATE / "dockerd.pid").read_text()))


def _end(pid: int) -> None:
    """End a process that was started here, and wait until it is gone."""
    deadline = time.monotonic() + SECONDS
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
            os.kill(pid, 0)
            time.sleep(0.1)


def base(client) -> str:
    """Return a base image that the engine has: the one that is named, the stand-in, or one that it can pull."""
    if named := os.environ.get("EMBEDRUN_BASE_IMAGE"):
        return named
    if (lacking := standin_base.missing()) is None:
        return standin_base.imported(client)
    try:
        client.images.pull(FALLBACK)
    except Exception as error:
        raise NoEngineError(f"{lacking}, and {FALLBACK} cannot be pulled: {error}") from error
    return FALLBACK


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let runs that build the same steps wait for each other, and find them built."""
    with standin_base.cached("building").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def network(client) -> str | None:
    """Return the network that builds need where the engine has no bridge."""
    return None if client.networks.list(names=["bridge"]) else "host"
