"""The installed stages: collected from plugins, checked, and found by kind and type."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from pydantic_core import PydanticCustomError

from embedrun import hookspecs
from embedrun.errors import PluginError, UserError, suggest
from embedrun.hashing import file_digest
from embedrun.stages import KINDS, Stage

HEAVY = frozenset({"torch", "transformers", "sentence_transformers", "datasets", "boto3", "sagemaker", "docker"})
"""Modules that checking a recipe must not import; stages import them inside `run`."""


@dataclass(frozen=True)
class Owner:
    """Who brings a stage: a package with its version, or a local file with its digest."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Entry:
    """One installed stage."""

    stage: type[Stage]
    owner: Owner


class Registry:
    """All stages that recipes can name, and the hooks of the plugins that bring them.

    Raises PluginError, naming the owner, where a plugin breaks the contract.
    """

    def __init__(self, plugin_files: Iterable[Path] = ()) -> None:
        self.hooks = pluggy.PluginManager("embedrun")
        self.hooks.add_hookspecs(hookspecs)
        self._owners: dict[str, Owner] = {}
        self._load_installed()
        for file in plugin_files:
            self._load_file(file)
        try:
            self.hooks.check_pending()
        except pluggy.PluginValidationError as error:
            raise self._misspelt(error) from error
        self._entries: dict[type[Stage], dict[str, Entry]] = {kind: {} for kind in KINDS}
        for implementation in self.hooks.hook.embedrun_stages.get_hookimpls():
            owner = self._owners.get(implementation.plugin_name) or _owner_of(implementation.plugin_name)
            stages: Any = implementation.function()
            for stage in stages:
                self._add(stage, owner)

    def _load_installed(self) -> None:
        try:
            self.hooks.load_setuptools_entrypoints("embedrun")
        except pluggy.PluginValidationError as error:
            raise self._misspelt(error) from error
        except Exception as error:
            raise PluginError(f"an installed plugin cannot be loaded: {type(error).__name__}: {error}") from error
        for plugin, distribution in self.hooks.list_plugin_distinfo():
            name = self.hooks.get_name(plugin)
            if name:
                metadata = distribution.metadata
                self._owners[name] = Owner(metadata["Name"], metadata["Version"])

    def _load_file(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"plugins: {file}: no such file; a plugin is a Python file, by its path from the recipe")
        module = _import_file(file)
        self._owners[str(file)] = Owner(file.name, file_digest(file)[:12])
        try:
            self.hooks.register(module, name=str(file))
        except pluggy.PluginValidationError as error:
            raise self._misspelt(error) from error

    def _misspelt(self, error: pluggy.PluginValidationError) -> PluginError:
        known = [name for name in vars(hookspecs) if name.startswith("embedrun_")]
        plugin = self.hooks.get_name(error.plugin) or getattr(error.plugin, "__name__", "a plugin")
        unknown = [name for name in dir(error.plugin) if name.startswith("embedrun_") and name not in known]
        if unknown:
            return PluginError(f"plugin '{plugin}': there is no hook '{unknown[0]}'{suggest(unknown[0], known)}")
        return PluginError(f"plugin '{plugin}': {str(error).splitlines()[-1]}")

    def _add(self, stage: type[Stage], owner: Owner) -> None:
        if not (inspect.isclass(stage) and issubclass(stage, Stage)):
            raise PluginError(f"{owner}: embedrun_stages must return stage classes, not {stage!r}")
        where = f"{owner}: {stage.__module__}.{stage.__qualname__}"
        if stage.__abstractmethods__:
            missing = ", ".join(sorted(stage.__abstractmethods__))
            raise PluginError(f"{where}: does not define {missing}")
        kind = next((k for k in KINDS if issubclass(stage, k)), None)
        if kind is None:
            raise PluginError(f"{where}: is no {' or '.join(k.__name__ for k in KINDS)}")
        name = stage.model_fields["type"].default
        if not isinstance(name, str):
            raise PluginError(f'{where}: needs a type of its own: type: Literal["my_name"] = "my_name"')
        rival = self._entries[kind].get(name)
        if rival:
            raise PluginError(f"{where}: {kind.kind} '{name}' is already brought by {rival.owner}; rename one of them")
        self._entries[kind][name] = Entry(stage, owner)

    def entries(self, kind: type[Stage]) -> Mapping[str, Entry]:
        """Return the installed stages of a kind by type, sorted."""
        return dict(sorted(self._entries[kind].items()))

    def owner(self, stage: Stage | type[Stage]) -> Owner:
        cls = stage if inspect.isclass(stage) else type(stage)
        for entries in self._entries.values():
            for entry in entries.values():
                if entry.stage is cls:
                    return entry.owner
        return Owner(cls.__module__, "0")

    def find(self, kind: type[Stage], value: Any) -> type[Stage]:
        """Return the class that a mapping's `type` names; raises pydantic's error with what is allowed."""
        known = self.entries(kind)
        if not isinstance(value, Mapping):
            raise PydanticCustomError("stage", "must be a mapping with a 'type', or just the type's name")
        if "type" not in value:
            allowed = ", ".join(known)
            raise PydanticCustomError("stage", "needs a 'type'; allowed: {allowed}", {"allowed": allowed})
        name = str(value["type"])
        if name not in known:
            raise PydanticCustomError(
                "stage_type",
                "there is no {kind} '{name}'{hint}",
                {"kind": kind.__name__.lower(), "name": name, "hint": suggest(name, known)},
            )
        return known[name].stage

    def validation_context(self, folder: Path | None = None) -> dict[str, Any]:
        """Return the context that lets pydantic narrow a kind to an installed stage and find a recipe's files."""
        return {"find_stage": self.find, "folder": folder}

    def local_models(self) -> Sequence[hookspecs.LocalModel]:
        """Return the copies of hub models that plugins bring."""
        return [model for models in self.hooks.hook.embedrun_models() for model in models]


def _owner_of(plugin_name: str) -> Owner:
    try:
        return Owner(plugin_name, version(plugin_name))
    except PackageNotFoundError:
        return Owner(plugin_name, "0")


def _import_file(file: Path) -> ModuleType:
    name = f"embedrun_local_{file.stem}_{file_digest(file)[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UserError(f"plugins: {file}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise PluginError(f"plugins: {file}: cannot be loaded: {type(error).__name__}: {error}") from error
    return module
