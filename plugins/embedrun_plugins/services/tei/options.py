"""How TEI's container is created: with the model, a port, perhaps a GPU, and nothing else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from embedrun_plugins.services.docker import gpus
from embedrun_plugins.services.docker.environment import user
from embedrun_plugins.services.docker.sizes import bytes_of

_PORT = 3000
"""In the container, where a user without privileges may listen on it."""
Network = Literal["bridge", "host"]
_LOG = {"max-size": "10m", "max-file": "3"}
_PIDS = 4096


def base_environment(network: Network, host: str, port: int) -> dict[str, str]:
    """Return what the server finds in its environment whatever the model.

    At the level "info" it would write its arguments, the key too, and a line for every request.
    """
    variables = {"LOG_LEVEL": "warn", "NO_COLOR": "1", "HOME": "/tmp"}  # noqa: S108  # a tmpfs
    if network == "bridge":
        return variables | {"HOSTNAME": "0.0.0.0", "PORT": str(_PORT)}  # noqa: S104  # inside; outside it is the host given
    return variables | {"HOSTNAME": host, "PORT": str(port), "PROMETHEUS_PORT": str(free_port(host))}


def hardened(info: Mapping[str, Any], memory: str | None, cpus: float | None) -> dict[str, Any]:
    """Return what keeps the container from doing anything to the machine; `info` is the engine's."""
    options: dict[str, Any] = {
        **user(info),
        "read_only": True,
        "tmpfs": {"/tmp": "rw,nosuid,nodev,mode=1777,size=256m"},  # noqa: S108
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "pids_limit": _PIDS,
        "init": True,
        "log_config": {"Type": "json-file", "Config": _LOG},
    }
    if memory:
        options |= {"mem_limit": bytes_of(memory), "memswap_limit": bytes_of(memory)}
    if cpus:
        options["nano_cpus"] = int(cpus * 1e9)
    return options


def network_of(client: Any, asked: Network | None) -> Network:
    """Return the network that was asked for, or a bridge where the engine has one."""
    return asked or ("bridge" if client.networks.list(names=["bridge"]) else "host")


def reached(network: Network, host: str, port: int) -> dict[str, Any]:
    """Return what lets an address of this machine lead to the server."""
    return {"network_mode": network} | ({"ports": {f"{_PORT}/tcp": (host, port)}} if network == "bridge" else {})


def read_only(folder: Path, at: str) -> list[Any]:
    from docker.types import Mount

    return [Mount(at, str(folder), type="bind", read_only=True)]


def devices(gpu: int | str) -> list[Any]:
    return gpus.request((gpu,))


def free_port(host: str) -> int:
    """Return a port that is free, and that stays the same when the container is started again."""
    from embedrun_plugins.models.serving.listener import listen

    with listen(host, 0) as listener:
        return int(listener.getsockname()[1])


def remove_export(folder: Path) -> None:
    """Delete an exported model, if that is what a folder is."""
    if (folder / "modules.json").is_file() and folder.name == "model":
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """Delete an exported model where the block fails."""
    try:
        yield
    except BaseException:
        remove_export(folder)
        raise
