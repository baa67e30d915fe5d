"""Digests of outside files, which are read again only where they have changed."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

from embedrun import plain_files
from embedrun.hashing import file_digest, folder_digest, folder_files


class FileDigests:
    """Digests of outside files, remembered by size and time of change so that large files are read once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._changed = False
        self._read: dict[Path, list[int]] = {}
        try:
            remembered = json.loads(plain_files.read_text(file))
        except (OSError, ValueError, RecursionError):
            remembered = {}
        items = remembered.items() if isinstance(remembered, dict) else ()
        self._remembered: dict[str, list[Any]] = {name: stamp for name, stamp in items if isinstance(stamp, list)}

    def of(self, path: Path) -> str:
        """Digest a file, or a folder's names and contents."""
        if path.is_dir():
            return folder_digest({name: self._of_file(file) for name, file in folder_files(path).items()})
        return self._of_file(path)

    def _of_file(self, path: Path) -> str:
        stamp = self._read[path] = _stamp(path)
        remembered = self._remembered.get(str(path.resolve()))
        if remembered and remembered[:-1] == stamp:
            return str(remembered[-1])
        digest = file_digest(path)
        self._remembered[str(path.resolve())] = [*stamp, digest]
        self._changed = True
        return digest

    def changed(self, paths: AbstractSet[Path]) -> Path | None:
        """Return a file that was digested, at one of the paths or below, and is another by now, or gone."""
        files = [file for file in self._read if file in paths or not paths.isdisjoint(file.parents)]
        return next((file for file in files if not file.exists() or _stamp(file) != self._read[file]), None)

    def save(self) -> None:
        """Write what was learned; a store that cannot be written is noticed elsewhere."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            plain_files.write_text(self.file, json.dumps(self._remembered))
            self._changed = False


def _stamp(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
