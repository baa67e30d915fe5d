"""The versions of installed packages."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution


def installed_version(package: str) -> str | None:
    """Return a package's version, or None where it is not installed.

    `importlib.metadata.version` parses the package's whole description as an e-mail, which takes ten times as long.
    """
    try:
        installed = distribution(package)
    except PackageNotFoundError:
        return None
    match = re.search(r"^Version:\s*(\S+)", installed.read_text("METADATA") or "", re.MULTILINE)
    return match[1] if match else installed.version
