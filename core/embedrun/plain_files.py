"""Plain files in folders that a container or another user may have written to: no link is followed."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedrun.errors import StoreError

_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def read_text(file: Path) -> str:
    """Read UTF-8. Raises OSError, also where it is a link, a pipe or a device, and ValueError where it is no text."""
    with os.fdopen(os.open(file, os.O_RDONLY | _NO_LINK), encoding="utf-8") as stream:
        if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no plain file", str(file))
        return stream.read()


def write_text(file: Path, text: str) -> None:
    """Write a file whole, by one rename; half of a character, as in a name that is not UTF-8, becomes its escape."""
    scratch = file.with_name(f".{file.name}.{os.getpid()}")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
        stream.write(text)
    scratch.replace(file)


def write_json(file: Path, value: Any) -> None:
    write_text(file, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def append_line(file: Path, line: str) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _NO_LINK, 0o666)
    with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace", newline="\n") as stream:
        stream.write(f"{line}\n")


def strange(folder: Path) -> list[Path]:
    """Return what lies below a folder and is neither a plain file nor a folder, such as links, pipes and sockets."""
    plain = (stat.S_IFREG, stat.S_IFDIR)
    return [path for path in sorted(folder.rglob("*")) if stat.S_IFMT(path.lstat().st_mode) not in plain]


@contextlib.contextmanager
def explained(what: str, option: str) -> Iterator[None]:
    """Turn what keeps files from being written into a StoreError that says what to do."""
    try:
        yield
    except OSError as error:
        file = f" ({error.filename})" if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "free some space, or choose" if full else "choose"
        reason = f"cannot be written: {error.strerror}{file}"
        raise StoreError(f"{what}: {reason}; {advice} another folder with {option}") from error
