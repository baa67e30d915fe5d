"""Unpacking archives from elsewhere."""

from __future__ import annotations

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def unpack(archive: tarfile.TarFile, folder: Path) -> None:
    """Write the plain files and folders of an archive into an empty folder, and no link, pipe or device.

    tarfile's own filter is not in the first Python 3.11. Raises TarError where something would lie outside of the
    folder, is anything else, or the archive is damaged.
    """
    root = folder.resolve()
    with _damage():
        for member in archive:
            _write(archive, member, root)


def unpack_file(file: Path, folder: Path) -> None:
    """Unpack an archive from its file, as `unpack` does."""
    # tarfile reads the first header as it opens, and raises what its parser stumbles on.
    with _damage(), tarfile.open(file) as archive:
        unpack(archive, folder)


def unpack_stream(stream: IO[bytes], folder: Path) -> None:
    """Unpack an uncompressed archive as it comes, as `unpack` does."""
    with _damage(), tarfile.open(fileobj=stream, mode="r|") as archive:
        unpack(archive, folder)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError, zlib.error) as error:
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
