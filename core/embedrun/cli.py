"""The command line: `embedrun RECIPE` and what belongs to it."""

from __future__ import annotations

import os
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from embedrun import running
from embedrun.errors import EmbedrunError
from embedrun.hookspecs import Command
from embedrun.registry import Registry
from embedrun.running import INTERRUPTED


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a stage failed, 2 the user's mistake, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        commands = {command.name: command for command in _commands()}
        if words and not words[0].startswith("-") and words[0] not in commands:
            words.insert(0, "run")
        arguments = _parser(commands.values()).parse_args(words or ["--help"])
        return commands[arguments.command].run(arguments)
    except EmbedrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(commands: Iterable[Command]) -> ArgumentParser:
    parser = ArgumentParser(
        prog="embedrun",
        description="Fine-tune an embedding model from one declared recipe.",
        epilog="`embedrun RECIPE` is short for `embedrun run RECIPE`; a shipped recipe goes by its name.",
    )
    parser.add_argument("--version", action="version", version=f"embedrun {version('embedrun')}")
    under = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    for command in commands:
        command.configure(under.add_parser(command.name, help=command.summary, description=command.summary))
    return parser


def _commands() -> Iterator[Command]:
    for commands in Registry().hooks.hook.embedrun_commands():
        yield from commands


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


def settings_of(arguments: Namespace) -> running.Settings:
    """Return the run's settings that the arguments of a command give."""
    names = ("runs", "store", "offline", "until", "device", "record")
    return running.Settings(**{name: value for name, value in vars(arguments).items() if name in names})


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
