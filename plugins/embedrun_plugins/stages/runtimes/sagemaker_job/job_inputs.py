"""What a job is to do: the files that it is sent, and the digest by which the same work is known again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from embedrun import LocalModel
from embedrun.hashing import folder_files
from embedrun.job import Job
from embedrun.store import Store

_ID_LENGTH = 32
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class JobInputs:
    """The part of a run that happens in a job."""

    job: Job
    image: str | None = None
    """The image that is named for it."""

    @cached_property
    def id(self) -> str:
        """Digest of what decides the result: recipe, model, versions, every input file, and where it ends."""
        return self.job.digest(self._copies(), self.image)[:_ID_LENGTH]

    def hyperparameters(self, instances: int) -> dict[str, str]:
        """Return what the container is told beside files."""
        processes = (self.job.recipe["trainer"] or {}).get("processes") or 1
        options = {
            "until": self.job.until,
            "device": self.job.device,
            "nproc_per_node": str(processes // instances),
            "offline": "true" if self.job.offline else None,
        }
        return {name: value for name, value in options.items() if value is not None}

    def channels(self) -> dict[str, dict[str, Path | bytes]]:
        """Return the files of each channel, by their names in it; one that would be empty is left out."""
        channels: dict[str, dict[str, Path | bytes]] = {
            "recipe": {**folder_files(self.job.run_folder)},
            "inputs": dict(self._inputs()),
            "store": {**dict(self._stored())},
        }
        return {name: channel for name, channel in channels.items() if channel}

    def _inputs(self) -> Iterator[tuple[str, Path | bytes]]:
        paths = self._paths()
        for path in paths:
            inside = folder_files(path) if path.is_dir() else {"": path}
            for name, file in inside.items():
                yield f"{_place(path)}/{name}".rstrip("/"), file
        if paths:
            by_path = {str(path): _place(path) for path in paths} | dict(self._folders(paths))
            yield "inputs.json", json.dumps(by_path).encode()
        if copies := self._copies():  # which the image need not have
            listed = [
                {"id": model.id, "path": _place(model.path.absolute()), "sha256": model.sha256} for model in copies
            ]
            yield "models.json", json.dumps(listed).encode()

    def _paths(self) -> list[Path]:
        """Return the files and folders that are sent, by the names that the recipe has for them."""
        base = [self.job.base.path] if self.job.base.path else []
        named = [path for stage in self.job.stages for path in stage.inputs()]
        paths = dict.fromkeys(path.absolute() for path in (*named, *base, *(copy.path for copy in self._copies())))
        real_paths = {path.resolve() for path in paths}
        return [*paths, *(path for path in dict.fromkeys(self.job.inputs) if path.resolve() not in real_paths)]

    def _folders(self, paths: list[Path]) -> Iterator[tuple[str, str]]:
        """Yield the folders that the recipe names for files below them, also by patterns, and their places."""
        for text in dict.fromkeys(_texts(self.job.recipe)):
            fixed = _PATTERN.split(text, maxsplit=1)[0]
            folder = Path(text) if fixed == text else Path(f"{fixed}_").parent
            if not folder.is_absolute() or folder == folder.parent:
                continue
            for real in (folder, folder.resolve()):
                if any(path != real and path.is_relative_to(real) for path in paths):
                    yield str(folder), _place(real)
                    break

    def _copies(self) -> list[LocalModel]:
        """Return the copies of hub models that packages bring here, if the recipe names them."""
        named = set(_texts(self.job.recipe))
        return [copy for copy in self.job.copies if copy.id in named]

    def _stored(self) -> Iterator[tuple[str, Path]]:
        """Yield what of the store need not be made again, and what services answered already, if any is asked."""
        asks = False
        for step in self.job.forecast():
            asks = asks or (step.kind == "generator" and not step.stored)
            if step.stored and step.key:
                for name, file in folder_files(step.stored.path).items():
                    yield f"{Store.relative(step.key)}/{name}", file
        for name, file in folder_files(self.job.store.answers).items() if asks else ():
            yield f"answers/{name}", file

    def unset(self, named: tuple[str, ...]) -> list[str]:
        """Name the variables that stages would read here and will not find there, AWS's own aside."""
        wanted = {name for stage in self.job.stages for name in stage.variables() if not name.startswith("AWS_")}
        return sorted(name for name in wanted - set(named) if name in os.environ)


def _place(path: Path) -> str:
    """Return where a path lies in the channel `inputs`: as deep as here, since files may be named by their folders."""
    plain = Path(os.path.normpath(path))
    return f"0/{plain.relative_to(plain.anchor).as_posix()}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for child in inner:
        yield from _texts(child)
