"""model.tar.gz: what SageMaker unpacks at /opt/ml/model."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

CODE = "code/inference.py"
_SCRIPT = Path(__file__).with_name("inference.py")


def add_code(folder: Path) -> None:
    """Put what answers in the Hugging Face container beside an exported model."""
    target = folder / CODE
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(_SCRIPT.read_bytes())


def pack(folder: Path, archive: Path) -> None:
    """Pack a folder so that the same files always give the same bytes: in order, without times, owners or modes.

    Nothing is compressed, since weights hardly shrink, and how they would differs between versions of zlib.
    """
    with archive.open("wb") as stream, _tar(stream) as tar:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(file.relative_to(folder).as_posix())
            entry.size, entry.mode = file.stat().st_size, 0o644
            with file.open("rb") as content:
                tar.addfile(entry, content)


@contextmanager
def _tar(stream: IO[bytes]) -> Iterator[tarfile.TarFile]:
    with (
        gzip.GzipFile(filename="", mode="wb", compresslevel=0, fileobj=stream, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        yield tar
