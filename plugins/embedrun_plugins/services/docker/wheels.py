"""Wheels written anew from the files of what is installed, the same bytes for the same files."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

from packaging.utils import canonicalize_name

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = "Wheel-Version: 1.0\nGenerator: embedrun\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Packed:
    """A distribution of pure Python: its name and version, and its files by their paths in a wheel."""

    name: str
    version: str
    files: Mapping[str, bytes]
    """All but those in the folder of metadata."""
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    """Files in the folder of metadata: METADATA, entry_points.txt, licences."""

    @property
    def stem(self) -> str:
        """The beginning of the wheel's name, and of its metadata folder's."""
        return f"{canonicalize_name(self.name).replace('-', '_')}-{self.version.replace('-', '_')}"

    @property
    def file_name(self) -> str:
        return f"{self.stem}-py3-none-any.whl"

    @property
    def record(self) -> bytes:
        """The wheel's RECORD: the digest and the size of each file."""
        rows = io.StringIO()
        writer = csv.writer(rows, lineterminator="\n")
        for path, text in self._contents():
            digest = base64.urlsafe_b64encode(hashlib.sha256(text).digest()).rstrip(b"=").decode()
            writer.writerow([path, f"sha256={digest}", len(text)])
        writer.writerow([f"{self.stem}.dist-info/RECORD", "", ""])
        return rows.getvalue().encode()

    def wheel(self) -> bytes:
        """Return the wheel."""
        wheel = io.BytesIO()
        with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
            for path, text in [*self._contents(), (f"{self.stem}.dist-info/RECORD", self.record)]:
                entry = zipfile.ZipInfo(path, _EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = (0o100755 if ".data/scripts/" in path else 0o100644) << 16
                archive.writestr(entry, text)
        return wheel.getvalue()

    def _contents(self) -> list[tuple[str, bytes]]:
        """Return all files but RECORD, the metadata last, as the format wants it."""
        described = {"WHEEL": _WHEEL.encode(), **self.metadata}
        inside = {f"{self.stem}.dist-info/{name}": text for name, text in described.items()}
        return [*sorted(self.files.items()), *sorted(inside.items())]
