"""Getting a job's files into S3, and those that are there already not again."""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from embedrun_plugins.services.ledger.s3 import sizes, split
from embedrun_plugins.services.sagemaker.upload import Storage

_AT_ONCE = 8
_SAME = re.compile(r"inputs/\d+/")
"""Files that are the same in every run of the same work, since its digest holds theirs."""


@dataclass
class Upload:
    """Uploads files below one folder."""

    storage: Storage
    base: str
    """The folder, s3://BUCKET/KEY."""
    on_progress: Callable[[str, float, float | None], None]
    _sent: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send(self, channels: Mapping[str, Mapping[str, Path | bytes]]) -> None:
        """Upload every file of every channel. Raises UserError or StageError where S3 does not take one."""
        wanted = {f"{name}/{inner}": what for name, files in channels.items() for inner, what in files.items()}
        there = sizes(self.storage.clients, f"{self.base}/")
        _, prefix = split(self.base)
        with tempfile.TemporaryDirectory(prefix="embedrun-") as scratch:
            files = {name: _file(what, Path(scratch, str(n))) for n, (name, what) in enumerate(wanted.items())}
            missing = {name: file for name, file in files.items() if not _is_there(name, file, there, prefix)}
            total = sum(file.stat().st_size for file in missing.values())
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                try:
                    for sent in [pool.submit(self._send, name, file, total) for name, file in missing.items()]:
                        sent.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise

    def _send(self, name: str, file: Path, total: int) -> None:
        def count(number: int) -> None:
            with self._lock:
                self._sent += number
                self.on_progress("uploading, bytes", self._sent, total)

        self.storage.send(file, f"{self.base}/{name}", count)


def _file(what: Path | bytes, path: Path) -> Path:
    if isinstance(what, bytes):
        path.write_bytes(what)
        return path
    return what


def _is_there(name: str, file: Path, there: Mapping[str, int], prefix: str) -> bool:
    """Say whether a file was sent before; S3 shows whole ones only."""
    return bool(_SAME.match(name)) and there.get(f"{prefix}/{name}") == file.stat().st_size
