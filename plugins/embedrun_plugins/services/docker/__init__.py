"""The container image: packed from what is installed, built, found and described."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.services.docker.build import Say, build, pull
from embedrun_plugins.services.docker.contents import pack
from embedrun_plugins.services.docker.engine import architecture
from embedrun_plugins.services.docker.inspect import Description, Layer, describe
from embedrun_plugins.services.docker.requirements import DEFAULT_EXTRAS, NEVER

__all__ = ["DEFAULT_EXTRAS", "Description", "Layer", "build", "describe", "pack", "provided", "pull", "wanted"]


def wanted(extras: Iterable[str] = (), base_image: str | None = None, user: int | None = None) -> str:
    """Return the reference of the image that would be built: the same for the same files, extras, base and user.

    Raises UserError for an extra or a base image that cannot be, and for a plugin that cannot be packed.
    """
    return pack(extras, base_image, user).reference


def provided(
    client: Any, reference: str | None, extras: Iterable[str], base_image: str | None, say: Say
) -> Description:
    """Return an image that can be run: the one that is named, pulled if need be, or our own, built if need be.

    Raises UserError where there is none, or it is not made for the engine's processors; StageError where a build fails.
    """
    if reference is not None:
        image = describe(client, reference) or pull(client, reference, say)
    else:
        packed = pack(set(extras) - NEVER, base_image)
        image = describe(client, packed.reference) or build(client, packed, say)
    if image.architecture != (here := architecture(client)):
        raise UserError(
            f"image {image.reference}: is made for {image.architecture}, and the engine runs on {here}; "
            f"name one that is made for it, or none, so that it is built here"
        )
    return image
