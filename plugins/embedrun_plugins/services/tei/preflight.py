"""What a container engine must have before anything is trained for it: a place here, the image, the port, the GPU."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from embedrun.errors import UserError
from embedrun_plugins.models.serving.listener import listen
from embedrun_plugins.services import docker
from embedrun_plugins.services.addresses import is_local
from embedrun_plugins.services.tei.container import KIND, LABEL, found, published

_NVIDIA = ("nvidia-container-runtime-hook", "nvidia-container-runtime", "nvidia-ctk")
"""Programs of NVIDIA's container toolkit."""


def require_here(client: Any) -> None:
    """Raise UserError where the engine runs on another machine, which sees none of this one's folders and ports."""
    address = urlsplit(str(client.api.base_url))
    if address.hostname == "ssh" or (not address.scheme.startswith("http+") and not is_local(address.geturl())):
        raise UserError(
            f"the container engine is on another machine ({address.geturl()}), and this deployer serves from this one; "
            "run the recipe there, or let DOCKER_HOST name the engine of this machine"
        )


def require_image(client: Any, reference: str, *, offline: bool) -> None:
    """Raise UserError where an image is neither here nor in its registry; it is not pulled yet."""
    from docker.errors import APIError
    from requests.exceptions import RequestException

    if docker.describe(client, reference):
        return
    how = "load it with `docker load`, or name another (image)"
    if offline:
        raise UserError(f"image {reference}: is not here, and offline it cannot be pulled; {how}")
    try:
        client.api.inspect_distribution(reference)
    except (APIError, RequestException) as error:
        reason = getattr(error, "explanation", None) or error
        raise UserError(
            f"image {reference}: is not here, and cannot be had from its registry ({reason}); {how}"
        ) from error


def require_port(client: Any, host: str, port: int) -> None:
    """Raise UserError where a port is taken by anything but a container of this deployer, which may make room."""
    try:
        listen(host, port).close()
    except UserError:
        if not any(port in published(container) for container in found(client, {LABEL: KIND})):
            raise


def require_gpus(info: Mapping[str, Any]) -> None:
    """Raise UserError where the engine cannot give a GPU to a container."""
    has_nvidia = "nvidia" in (info.get("Runtimes") or {}) or Path("/dev/dxg").exists() or info.get("DiscoveredDevices")
    if not has_nvidia and not any(map(shutil.which, _NVIDIA)):
        raise UserError(
            "gpu: this machine has a GPU, but the engine cannot give it to a container: install the NVIDIA Container "
            "Toolkit and restart the engine, or set gpu to none"
        )
