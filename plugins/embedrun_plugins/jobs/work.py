"""What a job is to do: the files that it is sent, and the digest by which the same work is known again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from embedrun import LocalModel
from embedrun.hashing import folder_files, value_digest
from embedrun.plan import KEY_SCHEMA
from embedrun.runtimes import Job
from embedrun.stages import Deployer, Generator, Runtime, Stage

_ID_LENGTH = 32
_ELSEWHERE = ("deployer", "runtime", "name", "plugins")
"""What of a recipe does not decide what a job makes; local plugins are told by their owners' versions."""


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
        stages = [[one.kind, one.version, *astuple(plan.registry.owner(one))] for one in self.stages()]
        files = [plan.files.of(path) for path in self.job.inputs]
        copies = [copy.sha256 for copy in self._copies()]
        versions = [KEY_SCHEMA, version("embedrun"), self.image]
        return value_digest([recipe, plan.base.digest, stages, files, copies, versions, self.until])[:_ID_LENGTH]

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
        places = self._places()
        for path, place in places.items():
            inside = folder_files(path) if path.is_dir() else {"": path}
            for name, file in inside.items():
                yield f"{place}/{name}".rstrip("/"), file
        if places:
            yield "inputs.json", json.dumps({str(path): place for path, place in places.items()}).encode()
        if copies := self._copies():  # which the image need not have
            listed = [{"id": one.id, "path": places[one.path.absolute()], "sha256": one.sha256} for one in copies]
            yield "models.json", json.dumps(listed).encode()

    def _places(self) -> dict[Path, str]:
        """Return where each input lies in the channel `inputs`."""
        named = [path for stage in self.stages() for path in stage.inputs()]
        base = [self.job.plan.base.path] if self.job.plan.base.path else []
        installed = [copy.path for copy in self._copies()]
        paths = dict.fromkeys(path.absolute() for path in (*named, *base, *self.job.inputs, *installed))
        return {path: f"{number}/{path.name}" for number, path in enumerate(paths)}

    def _copies(self) -> list[LocalModel]:
        """Return the copies of hub models that packages bring here, if the recipe names them."""
        named = set(_texts(self.job.plan.recipe.dump()))
        return [copy for copy in self.job.plan.registry.local_models() if copy.id in named]

    def stages(self) -> Iterator[Stage]:
        """Yield the recipe's stages that run in the job."""
        for _, stage in self.job.plan.recipe.stages():
            if not isinstance(stage, (Deployer, Runtime)):
                yield stage

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
        wanted = {name for stage in self.stages() for name in stage.variables() if not name.startswith("AWS_")}
        return sorted(name for name in wanted - set(named) if name in os.environ)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for one in inner:
        yield from _texts(one)
