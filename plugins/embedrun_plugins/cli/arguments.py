"""The arguments that several commands take."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from embedrun import Settings, UserError
from embedrun.execution import Loaded


def runs(parser: ArgumentParser) -> None:
    """Add the option that says where runs are."""
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="run records (./runs)")


def places(parser: ArgumentParser) -> None:
    """Add the options that say where runs and results are."""
    runs(parser)
    help_store = "results to reuse ($EMBEDRUN_STORE, else RUNS/.store)"
    parser.add_argument("--store", type=Path, metavar="FOLDER", help=help_store)


def device(text: str) -> str:
    """Refuse what cannot be a torch device."""
    if not re.fullmatch(r"(cpu|cuda|mps|xpu|npu|hpu)(:\d+)?", text):
        raise ArgumentTypeError(f"'{text}' is not a torch device; use cpu, cuda, cuda:1, mps …")
    return text


def count(text: str) -> int:
    """Refuse what is no number of things to do."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"'{text}' is no number of trainings; give 1 or more")
    return int(text)


def settings_of(arguments: Namespace) -> Settings:
    """Return the run's settings that the arguments of a command give."""
    names = ("runs", "store", "offline", "until", "device", "record")
    return Settings(**{name: value for name, value in vars(arguments).items() if name in names})


def recipe(parser: ArgumentParser, help_set: str = "change a value of the recipe") -> None:
    """Add the recipe, and what changes it."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe file, or a shipped recipe's name")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=help_set)


def planned(parser: ArgumentParser) -> None:
    """Add what planning a recipe takes."""
    recipe(parser)
    help_seeds = "train so many times, with the recipe's seed and those that follow it"
    parser.add_argument("--seeds", type=count, metavar="COUNT", help=help_seeds)
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    places(parser)


def loaded(arguments: Namespace) -> Loaded:
    """Read the recipe that a command line names, with its changes."""
    changes = overrides(arguments)
    if getattr(arguments, "on", None):
        changes["runtime.type"] = arguments.on
    if getattr(arguments, "seeds", None):
        changes["seeds"] = str(arguments.seeds)
    return Loaded.read(arguments.recipe, changes)


def overrides(arguments: Namespace) -> dict[str, str]:
    """Return what a command line changes with --set."""
    return dict(_pair(text) for text in arguments.settings)


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UserError(f"--set {text}: must be KEY=VALUE, for example trainer.epochs=1")
    return key.strip(), value


def write_new(path: Path, text: str) -> None:
    """Write a file that is not there yet, whole or not at all. Raises UserError where it is, or cannot be written."""
    if path.exists():
        raise UserError(f"{path}: exists already; name another file, or remove it first")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(f"{path.name}.part")
        scratch.write_text(text, "utf-8", newline="\n")
        scratch.rename(path)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror}") from error
