"""The versions of installed packages."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution


def installed_version(package: str) -> str | None:
    """Return a package's version, or None where it is not installed."""
    try:
        return package_field(distribution(package), "Version")
    except PackageNotFoundError:
        return None


def package_field(package: Distribution, field: str) -> str:
    """Return a field of an installed package's metadata, such as its Name.

    `importlib.metadata` parses the package's whole description as an e-mail for it, which takes ten times as long.
    """
    line = re.search(rf"^{field}:\s*(\S+)", package.read_text("METADATA") or "", re.MULTILINE)
    return line[1] if line else package.metadata[field]
