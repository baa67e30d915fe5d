"""Unpacking archives from elsewhere."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the plain files and folders of an archive into an empty folder, and no link, pipe or device.

    tarfile's own filter is not in the first Python 3.11. Raises TarError where something would lie outside of the
    folder, is anything else, or the archive is damaged.
    """
    root = folder.resolve()
    try:
        for member in archive:
            _write(archive, member, root)
    except (ValueError, KeyError, IndexError, TypeError, RecursionError, OverflowError, zlib.error) as error:
        raise tarfile.TarError(f"is damaged ({type(error).__name__}: {error})") from error


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, root: Path) -> None:
    target = (root / member.name).resolve()
    if not target.is_relative_to(root):
        raise tarfile.TarError(f"'{member.name}' does not belong there")
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif not member.isreg():
        raise tarfile.TarError(f"'{member.name}' is a link or no plain file")
    elif source := archive.extractfile(member):
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("wb") as written:
            shutil.copyfileobj(source, written)
