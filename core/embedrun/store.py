"""Artifacts by key: built in a scratch folder, published by one rename, never changed afterwards."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.errors import StoreError
from embedrun.hashing import file_digest, folder_digest, folder_files, text_id

if TYPE_CHECKING:
    from filelock import FileLock

_QUICKLY_READ = 2**20
"""Bytes."""


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
            manifest = json.loads((path / "manifest.json").read_text("utf-8"))
            whole = all(_is_whole(path / "out" / name, listed) for name, listed in manifest["files"].items())
        except (OSError, ValueError, TypeError, KeyError):
            return None
        return Stored(path, manifest) if whole else None

    def lock(self, key: str) -> FileLock:
        """Return the lock that a process holds while it makes or removes what has a key."""
        from filelock import FileLock

        (self.root / "tmp").mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / "tmp" / f"{key}.lock")

    @contextlib.contextmanager
    def building(self, key: str, waiting: Any = None) -> Iterator[Build | Stored]:
        """Yield a scratch folder for a key; or what another run published while this one waited for it.

        One process builds a key at a time; `waiting()` is called when this one has to wait. A killed process's lock
        ends with it.
        """
        from filelock import Timeout

        with _explained(self.root):
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
            with _explained(self.root):
                if self.folder(key).exists():
                    self.discard(self.folder(key))
                shutil.rmtree(build.out, ignore_errors=True)
                build.out.mkdir(parents=True)
                build.state.mkdir(exist_ok=True)
            yield build
        finally:
            lock.release()

    def publish(self, key: str, build: Build, description: Mapping[str, Any]) -> Stored:
        """Move a finished build to its place in one step, with its files' digests written down."""
        with _explained(self.root):
            files = folder_files(build.out)
            digests = {name: file_digest(path) for name, path in files.items()}
            manifest = {
                **description,
                "key": key,
                "digest": folder_digest(digests),
                "files": {name: {"sha256": digests[name], "size": path.stat().st_size} for name, path in files.items()},
            }
            (build.path / "manifest.json").write_text(json.dumps(manifest, indent=1, ensure_ascii=False), "utf-8")
            for path in (*files.values(), build.path / "manifest.json"):
                _flush(path)
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
        with _explained(self.root):
            folder = self.root / "runs"
            folder.mkdir(parents=True, exist_ok=True)
            relative = os.path.relpath(run.resolve(), self.root.resolve())
            (folder / text_id(str(run.resolve()))).write_text(relative, "utf-8")

    def referring(self) -> Iterator[Path]:
        """Yield the folders of the runs that use this store and still exist; they may have moved together with it."""
        for reference in sorted((self.root / "runs").glob("*")):
            run = (self.root.resolve() / reference.read_text("utf-8")).resolve()
            if (run / "run.json").exists():
                yield run

    def discard(self, folder: Path) -> None:
        """Remove a folder of the store, whose lock the caller holds."""
        doomed = self.root / "tmp" / f"{folder.name}.removed"
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _is_whole(file: Path, listed: Mapping[str, Any]) -> bool:
    """Compare a published file with its manifest: its size, and its digest too where that takes no time."""
    size = file.stat().st_size
    return bool(size == listed["size"] and (size > _QUICKLY_READ or file_digest(file) == listed["sha256"]))


def _flush(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


@contextlib.contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        advice = "free some space" if error.errno == errno.ENOSPC else "choose another folder with --store"
        raise StoreError(f"store {root}: cannot be written: {error.strerror}{file}; {advice}") from error


class FileDigests:
    """Digests of outside files, remembered by size and time of change so that large files are read once."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._changed = False
        try:
            self._remembered: dict[str, list[Any]] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            self._remembered = {}

    def of(self, path: Path) -> str:
        """Digest a file, or a folder's names and contents."""
        if path.is_dir():
            return folder_digest({name: self._of_file(file) for name, file in folder_files(path).items()})
        return self._of_file(path)

    def _of_file(self, path: Path) -> str:
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        remembered = self._remembered.get(str(path.resolve()))
        if remembered and remembered[:-1] == stamp:
            return str(remembered[-1])
        digest = file_digest(path)
        self._remembered[str(path.resolve())] = [*stamp, digest]
        self._changed = True
        return digest

    def save(self) -> None:
        """Write what was learned; a store that cannot be written is noticed elsewhere."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            scratch = self.file.with_suffix(f".{os.getpid()}")
            scratch.write_text(json.dumps(self._remembered), "utf-8")
            scratch.replace(self.file)
