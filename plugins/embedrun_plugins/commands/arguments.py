"""The arguments that several commands take."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from embedrun import Settings


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
        raise ArgumentTypeError(f"'{text}' is no torch device; name cpu, cuda, cuda:1, mps …")
    return text


def settings_of(arguments: Namespace) -> Settings:
    """Return the run's settings that the arguments of a command give."""
    names = ("runs", "store", "offline", "until", "device", "record")
    return Settings(**{name: value for name, value in vars(arguments).items() if name in names})


def recipe(parser: ArgumentParser) -> None:
    """Add the recipe, and what changes it."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe file, or a shipped recipe's name")
    help_set = "change a value of the recipe"
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help=help_set)


def planned(parser: ArgumentParser) -> None:
    """Add what planning a recipe takes."""
    recipe(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    places(parser)
