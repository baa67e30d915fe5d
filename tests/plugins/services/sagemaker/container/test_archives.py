"""Archives from elsewhere: plain files alone are written, below the folder alone, and damage is explained."""

from __future__ import annotations

import contextlib
import io
import tarfile

import pytest

from embedrun_plugins.services.sagemaker.container.archives import unpack_file, unpack_stream


def packed(*members: tuple[str, bytes, str], **headers: str) -> bytes:
    """Return an archive of empty members, each of a name, a kind and a link's target."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, target in members:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.pax_headers = kind, target, headers
            archive.addfile(entry)
    return content.getvalue()


DAMAGE = (tarfile.TarError, EOFError, OSError)
LINK, HARD, FILE = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.REGTYPE
WHOLE = packed(("a", FILE, ""), ("b/c", FILE, ""))
HOSTILE = {
    "link to nothing": packed(("a", LINK, "b")),
    "link out": packed(("a", LINK, "/etc/hostname")),
    "link to itself": packed(("a", LINK, "a")),
    "two links in a circle": packed(("a", LINK, "b"), ("b", LINK, "a")),
    "linked folder with a file behind it": packed(("a", LINK, "/tmp"), ("a/b", FILE, "")),
    "hard link to nothing": packed(("a", HARD, "b")),
    "hard link to a file": packed(("a", FILE, ""), ("b", HARD, "a")),
    "pipe": packed(("a", tarfile.FIFOTYPE, "")),
    "device": packed(("a", tarfile.CHRTYPE, "")),
    "above": packed(("../a", FILE, "")),
    "from the root": packed(("/tmp/embedrun-was-here", FILE, "")),
    "sparse map of no number": packed(("a", FILE, ""), **{"GNU.sparse.map": "0,1,x", "GNU.sparse.size": "10"}),
    "sparse size of no number": packed(("a", FILE, ""), **{"GNU.sparse.map": "0,1", "GNU.sparse.size": "x"}),
    "NUL in a name": packed(("a", FILE, ""), path="a\0b"),
    "name of 3000 letters": packed(("a" * 3000, FILE, "")),
    "no archive": b"hello" * 1000,
    "nothing": b"",
    "cut off": packed(("a", FILE, ""))[:300],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("way", ["file", "stream"])
def test_what_is_no_plain_file_or_damaged_is_refused(tmp_path, name, way):
    file = tmp_path / "archive.tar"
    file.write_bytes(HOSTILE[name])
    unpack, content = (unpack_file, file) if way == "file" else (unpack_stream, io.BytesIO(HOSTILE[name]))
    with pytest.raises(DAMAGE):
        unpack(content, tmp_path / "out")
    assert not [path for path in tmp_path.rglob("*") if path.is_symlink()]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "out") == ["archive.tar"]


@pytest.mark.parametrize("position", range(0, len(WHOLE), 97))
def test_a_changed_byte_is_explained_or_changes_nothing_outside(tmp_path, position):
    content = bytearray(WHOLE)
    content[position] ^= 0x55
    (tmp_path / "archive.tar").write_bytes(content)
    with contextlib.suppress(DAMAGE):
        unpack_file(tmp_path / "archive.tar", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} <= {"archive.tar", "out"}
