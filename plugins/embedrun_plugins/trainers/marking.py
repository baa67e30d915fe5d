"""Checkpoints that count only when they are whole: their last file, `complete.json`, is written by rename."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from embedrun.hashing import folder_files

_COMPLETE = "complete.json"


def mark(checkpoint: Path, *, finished: bool) -> None:
    """Say that a checkpoint is whole, and whether training ends with it."""
    scratch = checkpoint / f"{_COMPLETE}.part"
    files = {name: file.stat().st_size for name, file in folder_files(checkpoint).items()}
    for own in (_COMPLETE, scratch.name):
        files.pop(own, None)
    scratch.write_text(json.dumps({"finished": finished, "files": files}), "utf-8")
    scratch.rename(checkpoint / _COMPLETE)


def unmark(checkpoint: Path) -> None:
    """Say that a checkpoint is not whole, such as one that is made again."""
    (checkpoint / _COMPLETE).unlink(missing_ok=True)


def whole(checkpoint: Path) -> bool:
    """Say whether a checkpoint is marked, and all its files are there: they may have been copied one by one since."""
    try:
        files = json.loads((checkpoint / _COMPLETE).read_text("utf-8")).get("files") or {}
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError):
        return False


def finished(checkpoint: Path) -> bool:
    """Say whether training ended with a whole checkpoint."""
    return bool(json.loads((checkpoint / _COMPLETE).read_text("utf-8"))["finished"])


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints, the last one at the end."""
    return sorted((found for found in folder.glob("checkpoint-*") if whole(found)), key=_step)


def remove_incomplete(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not whole(checkpoint):
            shutil.rmtree(checkpoint)


def remove_old(folder: Path, keep: int, spared: str = "") -> None:
    """Remove all but the last `keep` whole checkpoints, and the one that is spared by name."""
    for checkpoint in checkpoints(folder)[:-keep]:
        if checkpoint.name != spared:
            # The mark goes first, so that a folder half deleted is no checkpoint.
            unmark(checkpoint)
            shutil.rmtree(checkpoint)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[-1])
