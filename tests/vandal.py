"""A plugin whose source leaves, in every folder that it can write, what a hostile container or job would leave."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pickle
import socket
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

from embedrun import Source, Unkeyed, hookimpl
from embedrun.testing import small_set

HUGE = 10**13
"""Bytes of a file of which none is on the disk: whoever reads it, or copies it, is noticed."""
CODE = ("sitecustomize.py", "conftest.py", "plugins/0/fakes.py", "plugins/9/evil.py", "model/modeling_evil.py")
PICKLES = ("optimizer.pt", "pytorch_model.bin", "state/training_args.bin")
DOCUMENTS = ("run.json", "manifest.json", "deployments/evil.json", "config.json", "modules.json")
ODD = ("-rf", "a\nb", "\x1b[2J", "..x", "x" * 255)


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, ran: str) -> None:
        self.ran = ran

    def __reduce__(self) -> Any:
        return open, (self.ran, "w")


def plant(folder: Path, victim: Path, ran: Path, *, over: bool) -> None:
    """Leave links, sockets, code, pickles, a huge file, odd names and odd JSON, `over` what is there or beside it."""
    plant_files(folder, victim, ran, over=over)
    with contextlib.suppress(OSError), (folder / "huge").open("wb") as file:
        os.truncate(file.fileno(), HUGE)
    _link(folder, victim, over=over)
    _special(folder)


def plant_files(folder: Path, victim: Path, ran: Path, *, over: bool) -> None:
    """Leave what looks like any other file."""
    code = f"open({str(ran)!r}, 'w').close()\n"
    files = dict.fromkeys(CODE, code.encode()) | dict.fromkeys(PICKLES, pickle.dumps(Touch(str(ran))))
    files |= dict.fromkeys(DOCUMENTS, json.dumps({"stages": 5, "files": {str(victim): [1]}, "store": "/"}).encode())
    files |= dict.fromkeys(ODD, b"")
    for name, content in files.items():
        _write(folder / name, content, over=over)


def _link(folder: Path, victim: Path, *, over: bool) -> None:
    links = {"linked": victim, "linked folder": victim.parent, "nowhere": Path("nothing"), "circle": folder / "circle"}
    if over:
        links |= dict.fromkeys(("log.jsonl", "report.html", "recipe.lock.json"), victim)
    for name, target in links.items():
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)
            (folder / name).symlink_to(target)


def _write(file: Path, content: bytes, *, over: bool) -> None:
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        if over or not file.exists():
            file.write_bytes(content)


def _special(folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.mkfifo(folder / "pipe")
    before = Path.cwd()
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
        os.chdir(folder)  # a socket's path must be short
        server.bind("socket")
    os.chdir(before)


class Vandal(Source):
    """Leaves what it should not."""

    type: Literal["vandal"] = "vandal"
    folders: Annotated[tuple[str, ...], Unkeyed] = ()
    """Below them, every folder is planted in."""
    victim: Annotated[str, Unkeyed] = ""
    ran: Annotated[str, Unkeyed] = ""
    """A file that code makes which is run."""
    moment: Annotated[Literal["run", "end"], Unkeyed] = "run"

    def columns_given(self):
        return frozenset({"positive"})

    def splits_given(self):
        return frozenset({"train", "dev", "test"})

    def run(self, ctx):
        if self.moment == "run":
            self._plant(over=False)
        else:
            atexit.register(self._plant, over=True)
            threading.Thread(target=self._plant, kwargs={"over": False}, daemon=True).start()
        return small_set(ctx.out)

    def _plant(self, *, over: bool) -> None:
        for top in self.folders:
            for folder in [Path(top), *(path for path in Path(top).rglob("*") if path.is_dir())]:
                if not folder.is_symlink():
                    plant(folder, Path(self.victim), Path(self.ran), over=over)


@hookimpl
def embedrun_stages():
    return [Vandal]


if __name__ == "__main__":
    places = [Path(name) for name in sys.argv[1:4]]
    if "links" in sys.argv:
        _link(*places[:2], over=False)
    plant_files(*places, over="over" in sys.argv)
