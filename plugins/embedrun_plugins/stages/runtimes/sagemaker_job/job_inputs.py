"""What a job is to do: the files that it is sent, and the digest by which the same work is known again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from embedrun import LocalModel
from embedrun.hashing import folder_files, value_digest
from embedrun.job import Job
from embedrun.plan import KEY_SCHEMA
from embedrun.stages import Generator
from embedrun_plugins.services.remote_run import stages

_ID_LENGTH = 32
_ELSEWHERE = ("deployer", "runtime", "name", "plugins")
"""What of a recipe does not decide what a job makes; local plugins are told by their owners' versions."""
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Work:
    """The part of a run that happens in a job."""

    job: Job
    image: str | None = None
    """The image that is named for it."""

    @cached_property
    def id(self) -> str:
        """Digest of what decides the result: recipe, model, versions, every input file, and where it ends."""
        plan = self.job.plan
        recipe = {name: value for name, value in plan.recipe.dump().items() if name not in _ELSEWHERE}
        kinds = [[one.kind, one.version, *astuple(plan.registry.owner(one))] for one in stages(self.job)]
        files = [plan.files.of(path) for path in self.job.inputs]
        copies = [copy.sha256 for copy in self._copies()]
        versions = [KEY_SCHEMA, version("embedrun"), self.image]
        return value_digest([recipe, plan.base.digest, kinds, files, copies, versions, self.until])[:_ID_LENGTH]

    @property
    def until(self) -> str | None:
        return self._option("--until")

    def _option(self, name: str) -> str | None:
        words = list(self.job.arguments)
        return words[words.index(name) + 1] if name in words else None

    def hyperparameters(self, instances: int) -> dict[str, str]:
        """Return what the container is told beside files."""
        processes = getattr(self.job.plan.recipe.trainer, "processes", None) or 1
        told = {
            "until": self.until,
            "device": self._option("--device"),
            "nproc_per_node": str(processes // instances),
            "offline": "true" if self.job.offline else None,
        }
        return {name: value for name, value in told.items() if value is not None}

    def channels(self) -> dict[str, dict[str, Path | bytes]]:
        """Return the files of each channel, by their names in it; one that would be empty is left out."""
        found: dict[str, dict[str, Path | bytes]] = {
            "recipe": {**folder_files(self.job.run_folder)},
            "inputs": dict(self._inputs()),
            "store": {**dict(self._stored())},
        }
        return {name: channel for name, channel in found.items() if channel}

    def _inputs(self) -> Iterator[tuple[str, Path | bytes]]:
        paths = self._paths()
        for path in paths:
            inside = folder_files(path) if path.is_dir() else {"": path}
            for name, file in inside.items():
                yield f"{_place(path)}/{name}".rstrip("/"), file
        if paths:
            places = {str(path): _place(path) for path in paths} | dict(self._folders(paths))
            yield "inputs.json", json.dumps(places).encode()
        if copies := self._copies():  # which the image need not have
            listed = [{"id": one.id, "path": _place(one.path.absolute()), "sha256": one.sha256} for one in copies]
            yield "models.json", json.dumps(listed).encode()

    def _paths(self) -> list[Path]:
        """Return the files and folders that are sent, by the names that the recipe has for them."""
        base = [self.job.plan.base.path] if self.job.plan.base.path else []
        named = [path for stage in stages(self.job) for path in stage.inputs()]
        found = dict.fromkeys(path.absolute() for path in (*named, *base, *(copy.path for copy in self._copies())))
        known = {path.resolve() for path in found}
        return [*found, *(path for path in dict.fromkeys(self.job.inputs) if path.resolve() not in known)]

    def _folders(self, paths: list[Path]) -> Iterator[tuple[str, str]]:
        """Yield the folders that the recipe names for files below them, also by patterns, and their places."""
        for text in dict.fromkeys(_texts(self.job.plan.recipe.dump())):
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
        named = set(_texts(self.job.plan.recipe.dump()))
        return [copy for copy in self.job.plan.registry.local_models() if copy.id in named]

    def _stored(self) -> Iterator[tuple[str, Path]]:
        """Yield what of the store need not be made again, and what services answered already, if any is asked."""
        root, asks = self.job.store.root, False
        for step, _, stored in self.job.plan.forecast(self.job.store):
            asks = asks or (isinstance(step.stage, Generator) and not stored)
            for name, file in folder_files(stored.path).items() if stored else ():
                yield f"{stored.path.relative_to(root).as_posix()}/{name}", file  # type: ignore[union-attr]
        for name, file in folder_files(self.job.store.answers).items() if asks else ():
            yield f"answers/{name}", file

    def unset(self, named: tuple[str, ...]) -> list[str]:
        """Name the variables that stages would read here and will not find there, AWS's own aside."""
        wanted = {name for stage in stages(self.job) for name in stage.variables() if not name.startswith("AWS_")}
        return sorted(name for name in wanted - set(named) if name in os.environ)


def _place(path: Path) -> str:
    """Return where a path lies in the channel `inputs`: as deep as here, since files may be named by their folders."""
    plain = Path(os.path.normpath(path))
    return f"0/{plain.relative_to(plain.anchor).as_posix()}"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _texts(one)
