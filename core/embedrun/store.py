"""Artifacts by key: built in a scratch folder, published by one rename, never changed afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from embedrun import plain_files
from embedrun.errors import PluginError, StoreError
from embedrun.file_digests import FileDigests
from embedrun.hashing import file_digest, folder_digest, folder_files, text_id
from embedrun.plain_files import explained, strange

if TYPE_CHECKING:
    from filelock import FileLock

_QUICKLY_READ = 2**20
"""Bytes; what is larger is read again only where its time, place or size has changed since."""


class _FileEntry(BaseModel):
    sha256: str
    size: int


class _Manifest(BaseModel):
    """What the rest relies on; a manifest says more."""

    digest: str
    files: dict[str, _FileEntry]
    notes: dict[str, Any] = {}
    warnings: list[str] = []


@dataclass(frozen=True)
class Stored:
    """A published artifact: `out/` with its files, and the manifest that describes them."""

    path: Path
    manifest: Mapping[str, Any]

    @property
    def out(self) -> Path:
        return self.path / "out"

    @property
    def digest(self) -> str:
        return str(self.manifest["digest"])

    @property
    def notes(self) -> Mapping[str, Any]:
        return dict(self.manifest.get("notes") or {})


@dataclass(frozen=True)
class Build:
    """The scratch folder of an artifact in the making."""

    path: Path

    @property
    def out(self) -> Path:
        """Empty when a build begins."""
        return self.path / "out"

    @property
    def state(self) -> Path:
        """Kept when a build breaks off, so that the next one can go on from it."""
        return self.path / "state"


class Store:
    """A folder of artifacts, shared by any number of runs and processes.

    Raises StoreError where the folder cannot be read or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._checked = FileDigests(root / "checked.json")
        """The digests of large files as they were last read."""

    @staticmethod
    def relative(key: str) -> str:
        """Return where in a store the folder of a result lies."""
        return f"{key[:2]}/{key}"

    def folder(self, key: str) -> Path:
        return self.root / self.relative(key)

    def out(self, key: str) -> Path:
        return self.folder(key) / "out"

    @property
    def answers(self) -> Path:
        """Folder of what outside services answered; garbage collection leaves it, since it was paid for."""
        return self.root / "answers"

    def get(self, key: str) -> Stored | None:
        """Return what is published under a key, if anything is; what was damaged since then is made again."""
        path = self.folder(key)
        try:
            manifest = json.loads(plain_files.read_text(path / "manifest.json"))
            listed = _Manifest.model_validate(manifest).files
            files = folder_files(path / "out")
            linked = path.parent.is_symlink() or path.is_symlink() or strange(path)
            if linked or files.keys() != listed.keys() or not all(self._is_whole(files[n], listed[n]) for n in files):
                return None
        except (OSError, ValueError, RecursionError):
            return None
        self._checked.save()
        return Stored(path, manifest)

    def _is_whole(self, file: Path, listed: _FileEntry) -> bool:
        size = file.stat().st_size
        digest = self._checked.of if size > _QUICKLY_READ else file_digest
        return size == listed.size and digest(file) == listed.sha256

    def lock(self, key: str) -> FileLock:
        """Return the lock that a process holds while it makes or removes what has a key."""
        from filelock import FileLock

        folder = self.root / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        if folder.is_symlink():
            raise StoreError(f"{folder}: is a link; a store's folders are none")
        return FileLock(folder / f"{key}.lock", mode=folder.stat().st_mode & 0o666)  # for all that may write the folder

    @contextlib.contextmanager
    def building(self, key: str, waiting: Any = None) -> Iterator[Build | Stored]:
        """Yield a scratch folder for a key; or what another run published while this one waited for it.

        One process builds a key at a time; `waiting()` is called when this one has to wait. A killed process's lock
        ends with it.
        """
        from filelock import Timeout

        with explained(f"store {self.root}", "--store"):
            lock = self.lock(key)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waiting:
                    waiting()
                lock.acquire()
        try:
            if stored := self.get(key):
                yield stored
                return
            build = Build(self.root / "tmp" / key)
            with explained(f"store {self.root}", "--store"):
                if os.path.lexists(self.folder(key)):
                    self.discard(self.folder(key))
                for path in (build.path, build.out, build.state, *strange(build.path)):
                    if path.is_symlink() or not path.is_dir():
                        path.unlink(missing_ok=True)  # left by somebody else: nothing is written through it
                shutil.rmtree(build.out, ignore_errors=True)
                build.out.mkdir(parents=True)
                build.state.mkdir(exist_ok=True)
            yield build
        finally:
            lock.release()

    def publish(self, key: str, build: Build, description: Mapping[str, Any]) -> Stored:
        """Move a finished build to its place in one step, with its files' digests written down."""
        with explained(f"store {self.root}", "--store"):
            if links := strange(build.out):
                raise PluginError(
                    f"wrote {links[0].name}, which is a link or no plain file; a result holds files alone"
                )
            files = folder_files(build.out)
            digests = {name: file_digest(path) for name, path in files.items()}
            manifest = {
                **description,
                "key": key,
                "digest": folder_digest(digests),
                "files": {name: {"sha256": digests[name], "size": path.stat().st_size} for name, path in files.items()},
            }
            described = build.path / "manifest.json"
            plain_files.write_text(described, json.dumps(manifest, indent=1, ensure_ascii=False))
            for path in (*files.values(), described):
                path.chmod(path.stat().st_mode | described.stat().st_mode)  # some libraries hide what they write
                with path.open("rb") as stream:
                    os.fsync(stream.fileno())
            target = self.folder(key)
            target.parent.mkdir(parents=True, exist_ok=True)
            spent = build.path.with_suffix(".spent")
            shutil.rmtree(spent, ignore_errors=True)
            build.state.rename(spent)
            build.path.rename(target)
            shutil.rmtree(spent, ignore_errors=True)
        return Stored(target, manifest)

    def refer(self, run: Path) -> None:
        """Note that a run uses this store, so that garbage collection finds it."""
        with explained(f"store {self.root}", "--store"):
            folder = self.root / "runs"
            folder.mkdir(parents=True, exist_ok=True)
            relative = os.path.relpath(run.resolve(), self.root.resolve())
            plain_files.write_text(folder / text_id(str(run.resolve())), relative)

    def referring(self) -> Iterator[Path]:
        """Yield the folders of the runs that use this store and still exist; they may have moved together with it.

        Raises StoreError where a reference cannot be read, since what its run uses is then not known.
        """
        for reference in sorted((self.root / "runs").glob("*")):
            try:
                run = (self.root.resolve() / plain_files.read_text(reference)).resolve()
                if not (run / "run.json").exists():
                    continue
            except (OSError, ValueError, RuntimeError) as error:
                advice = "remove the file if no run uses this store any more"
                raise StoreError(f"{reference}: is damaged, it names no run's folder ({error}); {advice}") from error
            yield run

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store, whose lock the caller holds."""
        doomed = self.root / "tmp" / f"{folder.name}.removed"
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)
