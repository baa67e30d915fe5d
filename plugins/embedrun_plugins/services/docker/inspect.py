"""What the engine knows of an image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from embedrun.errors import UserError
from embedrun_plugins.services.docker.engine import answering

_SHELL = re.compile(r"^(?:RUN )?(?:\|\d+ .*?)?/bin/sh -c (?P<meta>#\(nop\)\s*)?", re.DOTALL)
"""What builders put before a step's own text: its arguments, and the shell."""


@dataclass(frozen=True)
class Layer:
    """One step of an image's making."""

    size: int
    """Bytes."""
    made_by: str


@dataclass(frozen=True)
class Description:
    """An image that is here."""

    reference: str
    id: str
    """The digest of what it is, `sha256:…`, the same wherever it is."""
    digest: str | None
    """The name by which registries have exactly it, `name@sha256:…`; None where it comes from none."""
    size: int
    """Bytes, its base included."""
    architecture: str
    labels: Mapping[str, str]
    layers: tuple[Layer, ...]
    """From the base up; steps that add no files are left out."""


def describe(client: Any, reference: str) -> Description | None:
    """Return what the engine knows of an image, None for nothing.

    Raises UserError for what names no image, StageError where the engine does not answer.
    """
    from docker.errors import APIError, NotFound

    with answering("image"):
        try:
            image = client.api.inspect_image(reference)
            history = client.api.history(image["Id"])
        except NotFound:
            return None
        except APIError as error:
            raise UserError(f"image {reference}: {error.explanation or error}") from error
    layers = (Layer(step["Size"], _readable(step["CreatedBy"] or step["Comment"])) for step in reversed(history))
    return Description(
        reference=reference,
        id=image["Id"],
        digest=_digest(reference, image.get("RepoDigests") or []),
        size=image["Size"],
        architecture=image["Architecture"],
        labels=(image.get("Config") or {}).get("Labels") or {},
        layers=tuple(layer for layer in layers if layer.size),
    )


def _digest(reference: str, digests: list[str]) -> str | None:
    """Return the digest under the name that was asked for, or any."""
    name = re.sub(r"(@.*|:[^:/]*)$", "", reference)
    return next((digest for digest in digests if digest.partition("@")[0] == name), next(iter(digests), None))


def _readable(made_by: str) -> str:
    shell = _SHELL.match(made_by)
    text = made_by[shell.end() :] if shell else made_by
    text = " ".join(text.removesuffix("# buildkit").split())
    text = re.sub(r"^(COPY|ADD) (?:\w+:)?[0-9a-f]{64} in", r"\1 to", text)
    return f"RUN {text}" if shell and not shell["meta"] else text
