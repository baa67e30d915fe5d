"""The container engine on this machine, or wherever Docker's own settings point."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedrun.errors import MissingPackageError, StageError, UserError

_SECONDS = 10.0
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}
"""What images call the processors that engines call by their kernel's name."""


def client() -> Any:
    """Return a `docker.DockerClient` that speaks the engine's version of the API.

    It is found as Docker's own command finds it: $DOCKER_HOST, else the current context, else the usual socket.

    Raises MissingPackageError without the docker package, UserError where no engine answers or may be used.
    """
    try:
        import docker
        from docker.errors import DockerException
    except ImportError as error:
        raise MissingPackageError("containers", "docker", "docker") from error
    try:
        _connect(_address())
        return docker.from_env(use_ssh_client=True)
    except (DockerException, OSError, ValueError) as error:
        raise UserError(_explained(error)) from error


def architecture(client: Any) -> str:
    """Return the kind of processor that the engine runs on, as images call it."""
    with answering("image"):
        machine = str(client.info().get("Architecture", ""))
    return ARCHITECTURES.get(machine, machine)


@contextmanager
def answering(key: str, then: str = "") -> Iterator[None]:
    """Explain what breaks in the block because the engine went away, or answers with an error of its own.

    `key` is what it is told of, `then` what comes of it. Raises StageError.
    """
    from docker.errors import DockerException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except (DockerException, HTTPError, OSError) as error:
        reason = getattr(error, "explanation", None) or error
        raise StageError(
            f"{key}: the engine failed, or stopped answering ({reason}); "
            f"see whether it still runs{then and f', {then}'}"
        ) from error


def _connect(address: str) -> None:
    """See whether somebody listens at a socket of this machine; the client would leave its own open if not."""
    if address.startswith("unix://") and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(_SECONDS)
            line.connect(address.removeprefix("unix://"))


def _explained(error: BaseException) -> str:
    where = f"{_address()}{' (DOCKER_HOST)' if os.environ.get('DOCKER_HOST') else ''}"
    reason = next((e for e in _causes(error) if isinstance(e, OSError) and e.errno), None)
    number = reason.errno if reason else None
    if number in (errno.ENOENT, errno.ENOTDIR):
        return (
            f"no container engine at {where}: install Docker (or start it, where it is installed), "
            f"or set DOCKER_HOST to where your engine listens, as in unix:///run/user/1000/docker.sock"
        )
    if number == errno.EACCES:
        return (
            f"no permission to use the container engine at {where}: join the group '{_group(where)}' "
            f"(sudo usermod -aG {_group(where)} $USER, then log in again), or use a rootless engine"
        )
    if number == errno.ECONNREFUSED:
        return f"no container engine listens at {where}: start it (sudo systemctl start docker, or Docker Desktop)"
    if isinstance(reason, socket.gaierror):
        return f"no container engine at {where}: there is no such host; DOCKER_HOST or Docker's context is wrong"
    last = str(error).removeprefix("Error while fetching server API version: ").splitlines()[0]
    return f"no container engine at {where}: {last}; DOCKER_HOST or Docker's context may be wrong"


def _address() -> str:
    """Return where an engine is looked for, as far as that is known."""
    if named := os.environ.get("DOCKER_HOST"):
        return named
    from docker.context import ContextAPI

    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    except Exception:  # noqa: BLE001  # a damaged context; the connection's own error says more
        return "the current Docker context"
    host = getattr(context, "Host", None)
    # The client calls its own default by a made-up scheme.
    return str(host).replace("http+unix://", "unix://") if host else "unix:///var/run/docker.sock"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all that it wraps, be it as its cause or, as urllib3 does, as an argument."""
    errors = [error]
    for cause in errors:  # it grows
        yield cause
        inner = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        errors += [e for e in inner if isinstance(e, BaseException) and e not in errors]


def _group(where: str) -> str:
    """Return the group that may use a socket."""
    import grp  # Windows has none

    path = Path(where.split(" ", maxsplit=1)[0].removeprefix("unix://"))
    try:
        return grp.getgrgid(path.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "docker"
