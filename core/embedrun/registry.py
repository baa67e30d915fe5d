"""The installed stages: named by plugins, found by kind and type, and checked when a recipe names them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic_core import PydanticCustomError

from embedrun.artifacts import Model
from embedrun.errors import PluginError, suggest
from embedrun.hookspecs import LocalModel, StageReference
from embedrun.plugins import Owner, Plugins
from embedrun.stage import Stage
from embedrun.stages import KINDS

HEAVY = frozenset({"torch", "transformers", "sentence_transformers", "datasets", "boto3", "sagemaker", "docker"})
"""Modules that checking a recipe must not import; stages import them inside `run`."""


@dataclass(frozen=True)
class Entry:
    """One installed stage: its class, or where that is imported from when it is first needed."""

    owner: Owner
    source: type[Stage] | StageReference

    @cached_property
    def stage(self) -> type[Stage]:
        """The class. Raises PluginError where it cannot be imported or is not what its plugin says."""
        if not isinstance(self.source, StageReference):
            return self.source
        module, _, name = self.source.target.partition(":")
        try:
            stage = getattr(import_module(module), name)
        except Exception as error:
            raise PluginError(
                f"{self.owner}: {self.source.target} cannot be loaded: {type(error).__name__}: {error}"
            ) from error
        if _identity(stage, self.owner) != (self.source.kind, self.source.type):
            raise PluginError(f"{self.owner}: {self.source.target} is no {self.source.kind} '{self.source.type}'")
        return stage  # type: ignore[no-any-return]  # `_identity` refuses everything else


def _identity(stage: Any, owner: Owner) -> tuple[str, str]:
    """Return a stage's kind and type. Raises PluginError where it is no complete stage."""
    if not (inspect.isclass(stage) and issubclass(stage, Stage)):
        raise PluginError(f"{owner}: embedrun_stages must return stage classes, not {stage!r}")
    where = f"{owner}: {stage.__module__}.{stage.__qualname__}"
    if stage.__abstractmethods__:
        raise PluginError(f"{where}: does not define {', '.join(sorted(stage.__abstractmethods__))}")
    if not issubclass(stage, KINDS):
        raise PluginError(f"{where}: must be a subclass of {' or '.join(kind.__name__ for kind in KINDS)}")
    name = stage.model_fields["type"].default
    if not isinstance(name, str):
        raise PluginError(f'{where}: needs a type of its own: type: Literal["my_name"] = "my_name"')
    return stage.kind, name


class Registry:
    """All stages that recipes can name, and the hooks of the plugins that bring them.

    Raises PluginError, naming the owner, where a plugin breaks the contract.
    """

    def __init__(self, plugin_files: Iterable[Path] = ()) -> None:
        plugins = Plugins(plugin_files)
        self.hooks = plugins.manager
        self._entries: dict[str, dict[str, Entry]] = {kind.kind: {} for kind in KINDS}
        for owner, stages in plugins.stages():
            for stage in stages:
                self._add(Entry(owner, stage))

    def _add(self, entry: Entry) -> None:
        source = entry.source
        if isinstance(source, StageReference):
            kind, name, where = source.kind, source.type, source.target
            if kind not in self._entries:
                raise PluginError(f"{entry.owner}: {where}: there is no kind '{kind}'{suggest(kind, self._entries)}")
        else:
            kind, name = _identity(source, entry.owner)
            where = f"{source.__module__}.{source.__qualname__}"
        if namesake := self._entries[kind].get(name):
            reason = f"is already provided by {namesake.owner}; rename one of them"
            raise PluginError(f"{entry.owner}: {where}: {kind} '{name}' {reason}")
        self._entries[kind][name] = entry

    def entries(self, kind: type[Stage]) -> Mapping[str, Entry]:
        """Return the installed stages of a kind by type, sorted."""
        return dict(sorted(self._entries[kind.kind].items()))

    def owner(self, stage: Stage | type[Stage]) -> Owner:
        cls = stage if inspect.isclass(stage) else type(stage)
        entry = self._entries[cls.kind].get(cls.model_fields["type"].default)
        return entry.owner if entry and entry.stage is cls else Owner(cls.__module__, "0")

    def find(self, kind: type[Stage], value: Any) -> type[Stage]:
        """Return the class that a mapping's `type` names; raises pydantic's error with what is allowed."""
        entries = self.entries(kind)
        if not isinstance(value, Mapping):
            raise PydanticCustomError("stage", "must be a mapping with a 'type', or just the type's name")
        if "type" not in value:
            allowed = ", ".join(entries)
            raise PydanticCustomError("stage", "needs a 'type'; allowed: {allowed}", {"allowed": allowed})
        name = str(value["type"])
        if name not in entries:
            words = {"kind": kind.__name__.lower(), "name": name, "hint": suggest(name, entries)}
            raise PydanticCustomError("stage_type", "there is no {kind} '{name}'{hint}", words)
        return entries[name].stage

    def validation_context(self, folder: Path | None = None) -> dict[str, Any]:
        """Return the context that lets pydantic narrow a kind to an installed stage and find a recipe's files."""
        return {"find_stage": self.find, "folder": folder}

    def usual_names(self) -> Mapping[str, str]:
        """Return keys from the recipe's root by what other tools call them."""
        return dict(item for names in self.hooks.hook.embedrun_usual_names() for item in names.items())

    def local_models(self) -> Sequence[LocalModel]:
        """Return the copies of hub models that plugins bring."""
        return [model for models in self.hooks.hook.embedrun_models() for model in models]

    def model_faults(self, model: Model) -> Sequence[str]:
        """Return why plugins say that no recipe can start from a model."""
        return [fault for faults in self.hooks.hook.embedrun_model_faults(model=model) for fault in faults]
