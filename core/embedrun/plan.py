"""What a run will do: its steps in order, each with what it takes and the key of its result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from embedrun.artifacts import RetrievalSet
from embedrun.context import Unkeyed
from embedrun.file_digests import FileDigests
from embedrun.hashing import value_digest
from embedrun.hookspecs import LocalModel
from embedrun.job import Forecast
from embedrun.model_settings import BaseModelRef
from embedrun.plugins import Owner
from embedrun.recipe import Recipe
from embedrun.stage import Stage
from embedrun.stages import Deployer, Embedder, Evaluator, Loss, Reranker, Runtime, Trainer
from embedrun.store import Store

KEY_SCHEMA = 1
"""Raise it when the meaning of keys or the layout of artifacts changes: everything then runs again."""
_UNKEYED_KEYS = ("deployer", "runtime", "name", "plugins")
"""Keys of a recipe that do not decide what a runtime makes; local plugins do so by their owners' versions."""


@dataclass(frozen=True)
class Step:
    """One thing to do. `needs` maps what the stage is given (data, model, …) to the slot that makes it."""

    slot: str
    stage: Stage
    needs: Mapping[str, str] = field(default_factory=dict)
    loss: Loss | None = None
    dev: Evaluator | None = None
    name: str = ""
    """Name of its stage in the recipe's list: its type, the second one of a type ending in `.2`."""
    role: str = ""
    """Role of the model that is scored."""
    compares: bool = False
    """Whether the evaluator compares the scores that it is given, by the role of the model."""
    comparison: Embedder | None = None
    """What is scored, where it is no model of the run."""
    reranker: Reranker | None = None
    """What re-orders the rankings that are scored, if anything does."""
    seed: int | None = None
    """Seed of this training, where it is not the recipe's."""

    @property
    def parts(self) -> dict[str, Stage]:
        """All stages that decide its result, by what they are to it."""
        parts = {"stage": self.stage, "loss": self.loss, "rival": self.comparison, "dev": self.dev}
        return {name: part for name, part in {**parts, "reranker": self.reranker}.items() if part}

    @property
    def cached(self) -> bool:
        """Whether its result is kept; what a deployer makes lives elsewhere."""
        return not isinstance(self.stage, Deployer)

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Say what running it would take, as far as the data, if known already, tells."""
        return self.stage.forecast(data, self.loss) if isinstance(self.stage, Trainer) else self.stage.forecast(data)


@dataclass(frozen=True)
class Plan:
    """A resolved recipe and its steps."""

    recipe: Recipe
    base: BaseModelRef
    steps: tuple[Step, ...]
    owner_of: Callable[[Stage], Owner]
    files: FileDigests

    def key(self, step: Step, digests: Mapping[str, str]) -> str | None:
        """Return the key of a step's result; None while a digest that it needs is not known."""
        if not all(slot in digests for slot in step.needs.values()):
            return None
        return value_digest(self.description(step, digests))

    def description(self, step: Step, digests: Mapping[str, str]) -> dict[str, Any]:
        """Return what the key is the digest of; `digests` are those of the slots, "model" being the base's."""
        stages = step.parts
        described: dict[str, Any] = {name: self._identity(stage) for name, stage in stages.items()}
        described["schema"] = KEY_SCHEMA
        described["inputs"] = {name: digests[slot] for name, slot in sorted(step.needs.items())}
        if step.compares:
            described["compares"] = True
        elif "model" in step.needs or "base" in step.needs:
            settings = self.base.choice.settings
            of_base = "model" in step.needs.values()
            described["model"] = (settings if of_base else settings.unsaved()).model_dump(mode="json")
        if step.stage.seeded or step.compares or step.reranker:
            described["seed"] = self.recipe.seed if step.seed is None else step.seed
        if files := [path for stage in stages.values() for path in stage.inputs()]:
            described["files"] = [self.files.of(path) for path in files]
        return described

    def changed_file(self, step: Step) -> Path | None:
        """Return a file that a step reads and that is not what its key was made of any more."""
        paths = {path for stage in step.parts.values() for path in stage.inputs()}
        if self.base.path and "model" in step.needs.values():
            paths.add(self.base.path)
        return self.files.changed(paths)

    def _identity(self, stage: Stage) -> dict[str, Any]:
        owner = list(astuple(self.owner_of(stage)))
        return {"kind": stage.kind, "owner": owner, "version": stage.version, "config": keyed(stage)}

    @property
    def moved(self) -> list[Stage]:
        """The stages that a runtime carries out elsewhere."""
        return [stage for _, stage in self.recipe.stages() if not isinstance(stage, (Deployer, Runtime))]

    def digest(self, inputs: Iterable[Path], copies: Iterable[LocalModel], until: str | None, image: str | None) -> str:
        """Digest all that decides what a runtime makes of this plan: equal digests are the same work.

        Like a key, but known before anything has run, and of the whole recipe, since that is what is carried out.
        """
        recipe = {name: value for name, value in self.recipe.dump().items() if name not in _UNKEYED_KEYS}
        kinds = [[stage.kind, stage.version, *astuple(self.owner_of(stage))] for stage in self.moved]
        files = [self.files.of(path) for path in inputs]
        versions = [KEY_SCHEMA, version("embedrun"), image]
        return value_digest([recipe, self.base.digest, kinds, files, [c.sha256 for c in copies], versions, until])

    def forecast(self, store: Store) -> Iterator[Forecast]:
        """Yield what is known of each step before running."""
        digests = {"model": self.base.digest}
        for step in self.steps:
            key = self.key(step, digests)
            stored = store.get(key) if key and step.cached else None
            if stored:
                digests[step.slot] = stored.digest
            yield Forecast(step.slot, step.stage.kind, key, stored)


def keyed(model: BaseModel) -> dict[str, Any]:
    """Return a configuration as JSON without the fields that cannot change a result, or are left out of their dump."""
    config = {}
    dumped = model.model_dump(mode="json", serialize_as_any=True)
    for name, info in type(model).model_fields.items():
        if name in dumped and Unkeyed not in info.metadata and not _mentions_unkeyed(info.annotation):
            config[name] = _keyed_value(getattr(model, name), dumped[name])
    return config


def _keyed_value(value: Any, dumped: Any) -> Any:
    if isinstance(value, BaseModel):
        return keyed(value)
    if isinstance(value, tuple | list):
        return [_keyed_value(item, part) for item, part in zip(value, dumped, strict=True)]
    return dumped


def _mentions_unkeyed(annotation: Any) -> bool:
    """Look for the marker inside unions and lists too, as in `InputPath | None`."""
    inner = (*getattr(annotation, "__metadata__", ()), *get_args(annotation))
    return any(part is Unkeyed or _mentions_unkeyed(part) for part in inner)
