"""TEI's container on the local engine: created, started, waited for, found again and removed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from embedrun.errors import StageError, UserError
from embedrun_plugins.services.addresses import reachable
from embedrun_plugins.services.docker import gpus
from embedrun_plugins.services.endpoints.http_transport import HttpTransport
from embedrun_plugins.services.endpoints.transports import TransportError
from embedrun_plugins.services.foreign_output import shown

LABEL = "embedrun"
KIND = "tei"
"""Value of the label by which all of them are found: `docker ps --filter label=embedrun=tei`."""
STOP_SECONDS = 30
_LINES = 15
_PAUSE = 0.2


@dataclass(frozen=True)
class TeiContainer:
    """A container that was started, and where it will answer."""

    container: Any
    url: str
    secret: str | None = None
    """Key that may stand in its log, which errors show."""

    def wait(self, seconds: float, tell: Callable[[], None]) -> None:
        """Wait until it answers. Raises StageError, with the end of its log, where it ends first or takes too long."""
        deadline = time.monotonic() + seconds
        while not healthy(self.url):
            self.container.reload()
            state = self.container.attrs["State"]
            if not state["Running"]:
                raise StageError(f"TEI's container {_ended(state)}; {self.log()}")
            if time.monotonic() > deadline:
                raise StageError(f"TEI did not answer within {seconds:g} s (timeout); {self.log()}")
            tell()
            time.sleep(_PAUSE)

    def log(self) -> str:
        """Return the last lines that it wrote, for an error."""
        output = self.container.logs(tail=_LINES).decode("utf-8", "replace")
        text = shown(output).strip().replace(self.secret or "\0", "***")
        return f"its log ends:\n{text}" if text else "it wrote no log"


def _ended(state: Mapping[str, Any]) -> str:
    if state.get("OOMKilled"):
        return "was killed for lack of memory before it answered; raise memory, or lower limits.max_batch_tokens"
    return f"ended with exit code {state['ExitCode']} before it answered"


def healthy(url: str) -> bool:
    """Say whether a server's /health answers with 200."""
    with closing(HttpTransport(reachable(url), seconds=5.0)) as server, contextlib.suppress(TransportError):
        server.get("/health")
        return True
    return False  # the engine's proxy takes connections before the server listens


@contextmanager
def started(client: Any, options: dict[str, Any], url: str, secret: str | None = None) -> Iterator[TeiContainer]:
    """Create and start a container; remove it where anything fails until the block is left.

    The key is added here, as TEI takes it by its environment alone. Raises UserError where the engine refuses to.
    """
    from docker.errors import APIError, DockerException

    environment = options["environment"] | ({"API_KEY": secret} if secret else {})
    try:
        container = client.containers.create(**options | {"environment": environment})
    except APIError as error:
        raise UserError(_refusal(error, url)) from error
    try:
        try:
            container.start()
        except APIError as error:
            raise UserError(_refusal(error, url)) from error
        yield TeiContainer(container, url, secret)
    except BaseException:
        with contextlib.suppress(DockerException, OSError):
            container.remove(force=True)
        raise


def _refusal(error: Any, url: str) -> str:
    reason = str(error.explanation or error)
    if "port is already allocated" in reason or "address already in use" in reason:
        return f"{url}: the port is taken; choose another port, or 0 for one that is free"
    return gpus.explained(reason, "deployer", "deployer.gpu")


@contextmanager
def making_room(client: Any, labels: Mapping[str, str], port: int) -> Iterator[list[Any]]:
    """Yield the containers with these labels, those that hold the port stopped; if the block fails, as they were."""
    earlier = found(client, labels)
    stopped = [container for container in earlier if port in published(container) and container.status == "running"]
    for container in stopped:
        container.stop(timeout=STOP_SECONDS)
    try:
        yield earlier
    except BaseException:
        for container in stopped:
            container.start()
        raise


def found(client: Any, labels: Mapping[str, str]) -> list[Any]:
    """Return the containers, running or not, that have all of these labels."""
    wanted = [f"{name}={value}" for name, value in labels.items()]
    return list(client.containers.list(all=True, filters={"label": wanted}))


def published(container: Any) -> set[int]:
    """Return the ports of this machine that lead to a container."""
    return {int(port) for port in (container.labels.get("embedrun.port"),) if port}


def remove(client: Any, container_id: str) -> None:
    """Stop a container, letting it answer first what it was asked, and remove it; succeed quietly where it is gone."""
    from docker.errors import NotFound

    with contextlib.suppress(NotFound):
        container = client.containers.get(container_id)
        container.stop(timeout=STOP_SECONDS)
        container.remove(force=True)
