"""The plugins: those installed and local files, with the hooks that they implement and who owns them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from embedrun import hookspecs
from embedrun.errors import PluginError, UserError, suggest
from embedrun.hashing import file_digest
from embedrun.hookspecs import Command
from embedrun.installed import installed_version, package_field


@dataclass(frozen=True)
class Owner:
    """Who brings a stage: a package with its version, or a local file with its digest."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


class Plugins:
    """The hooks of every installed plugin and of a recipe's local files; no stage is imported for them.

    Raises PluginError, naming the owner, where a plugin cannot be loaded or implements a hook that there is not.
    """

    def __init__(self, files: Iterable[Path] = ()) -> None:
        self.manager = pluggy.PluginManager("embedrun")
        self.manager.add_hookspecs(hookspecs)
        self._owners: dict[str, Owner] = {}
        try:
            self._load_installed()
            for file in files:
                self._load_file(file)
            self.manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise self._misspelt(error) from error

    def commands(self) -> Iterator[Command]:
        """Yield the commands that plugins add to the command line."""
        for commands in self.manager.hook.embedrun_commands():
            yield from commands

    def stages(self) -> Iterator[tuple[Owner, Any]]:
        """Yield what each plugin's hook returns as its stages, with the plugin's owner."""
        for implementation in self.manager.hook.embedrun_stages.get_hookimpls():
            name = implementation.plugin_name
            stages: Any = implementation.function()
            yield self._owners.get(name) or Owner(name, installed_version(name) or "0"), stages

    def _load_installed(self) -> None:
        for owner, point in _installed(tuple(sys.path)):
            if self.manager.has_plugin(point.name):
                continue
            self._owners[point.name] = owner
            try:
                plugin = point.load()
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
                raise PluginError(f"an installed plugin cannot be loaded: {reason}") from error
            self.manager.register(plugin, name=point.name)

    def _load_file(self, file: Path) -> None:
        if not file.is_file():
            raise UserError(f"plugins: {file}: no such file; name a plugin by its Python file's path from the recipe")
        module = _import_file(file)
        self._owners[str(file)] = Owner(file.name, file_digest(file)[:12])
        self.manager.register(module, name=str(file))

    def _misspelt(self, error: pluggy.PluginValidationError) -> PluginError:
        hooks = [name for name in vars(hookspecs) if name.startswith("embedrun_")]
        plugin = self.manager.get_name(error.plugin) or getattr(error.plugin, "__name__", "a plugin")
        unknown = [name for name in dir(error.plugin) if name.startswith("embedrun_") and name not in hooks]
        if unknown:
            return PluginError(f"plugin '{plugin}': there is no hook '{unknown[0]}'{suggest(unknown[0], hooks)}")
        return PluginError(f"plugin '{plugin}': {str(error).splitlines()[-1]}")


@cache
def _installed(path: tuple[str, ...]) -> Sequence[tuple[Owner, EntryPoint]]:
    """Return the entry points of installed plugins; kept, since looking through every package takes long."""
    return [
        (Owner(package_field(package, "Name"), package_field(package, "Version")), point)
        for package in distributions(path=list(path))
        # Parsing the entry points of every package takes longer still.
        if "[embedrun]" in (package.read_text("entry_points.txt") or "")
        for point in package.entry_points.select(group="embedrun")
    ]


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
