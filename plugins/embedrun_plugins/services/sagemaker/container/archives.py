"""Unpacking archives from elsewhere."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the plain files and folders of an archive; tarfile's own filter is not in the first Python 3.11.

    Raises TarError where something would lie outside of the folder.
    """
    root = folder.resolve()
    for member in archive:
        target = (root / member.name).resolve()
        if not target.is_relative_to(root):
            raise tarfile.TarError(f"'{member.name}' does not belong there")
        if member.isdir():
            target.mkdir(parents=True, exist_ok=True)
        elif source := archive.extractfile(member):
            target.parent.mkdir(parents=True, exist_ok=True)
            with source, target.open("wb") as written:
                shutil.copyfileobj(source, written)
