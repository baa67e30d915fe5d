"""The built-in stages, entered by the same entry point as anyone's."""

from __future__ import annotations

from embedrun import Command, LocalModel, Stage, hookimpl
from embedrun_plugins import offline
from embedrun_plugins.commands.compare import COMPARE
from embedrun_plugins.commands.init import INIT
from embedrun_plugins.commands.plugins import PLUGINS
from embedrun_plugins.commands.recipes import RECIPES
from embedrun_plugins.commands.schema import SCHEMA
from embedrun_plugins.commands.serve import SERVE
from embedrun_plugins.runtimes.local import Local


@hookimpl
def embedrun_stages() -> list[type[Stage]]:
    return [Local]


@hookimpl
def embedrun_models() -> list[LocalModel]:
    return offline.installed()


@hookimpl
def embedrun_commands() -> list[Command]:
    return [INIT, RECIPES, PLUGINS, SCHEMA, COMPARE, SERVE]
