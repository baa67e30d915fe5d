"""Checkpoints that count only when they are whole: their last file, `complete.json`, is written by rename."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

_COMPLETE = "complete.json"


def mark(checkpoint: Path, *, finished: bool) -> None:
    """Say that a checkpoint is whole, and whether training ends with it."""
    scratch = checkpoint / f"{_COMPLETE}.part"
    scratch.write_text(json.dumps({"finished": finished}), "utf-8")
    scratch.rename(checkpoint / _COMPLETE)


def whole(checkpoint: Path) -> bool:
    return (checkpoint / _COMPLETE).exists()


def finished(checkpoint: Path) -> bool:
    """Say whether training ended with a whole checkpoint."""
    return bool(json.loads((checkpoint / _COMPLETE).read_text("utf-8"))["finished"])


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints, the last one at the end."""
    return sorted((mark.parent for mark in folder.glob(f"checkpoint-*/{_COMPLETE}")), key=_step)


def remove_incomplete(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not whole(checkpoint):
            shutil.rmtree(checkpoint)


def remove_old(folder: Path, keep: int, spared: str = "") -> None:
    """Remove all but the last `keep` whole checkpoints, and the one that is spared by name."""
    for checkpoint in checkpoints(folder)[:-keep]:
        if checkpoint.name != spared:
            # The mark goes first, so that a folder half deleted is no checkpoint.
            (checkpoint / _COMPLETE).unlink()
            shutil.rmtree(checkpoint)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[-1])
