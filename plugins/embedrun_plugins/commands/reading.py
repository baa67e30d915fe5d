"""The recipe that a command line names."""

from __future__ import annotations

from argparse import Namespace

from embedrun import UserError
from embedrun.running import Loaded


def loaded(arguments: Namespace) -> Loaded:
    """Read the recipe that a command line names, with its changes."""
    changes = overrides(arguments)
    if getattr(arguments, "on", None):
        changes["runtime.type"] = arguments.on
    return Loaded.read(arguments.recipe, changes)


def overrides(arguments: Namespace) -> dict[str, str]:
    """Return what a command line changes with --set."""
    return dict(_pair(text) for text in arguments.settings)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: must be KEY=VALUE, for example trainer.epochs=1")
    return key.strip(), value
