"""The command line: `embedrun RECIPE` and what belongs to it."""

from __future__ import annotations

import errno
import os
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence

from embedrun.errors import INTERRUPTED, EmbedrunError, printable
from embedrun.hookspecs import Command
from embedrun.installed import installed_version
from embedrun.plugins import Plugins


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a stage failed, 2 the user's mistake, 130 interrupted."""
    # pydantic would look through the entry points of every installed package for plugins of its own, which takes longer
    # than reading a recipe. Whoever wants theirs sets the variable, be it to nothing.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        commands = {command.name: command for command in Plugins().commands()}
        if words and not words[0].startswith("-") and words[0] not in commands:
            words.insert(0, "run")
        arguments = _parser(commands, words).parse_args(words or ["--help"])
        return commands[arguments.command].run(arguments)
    except EmbedrunError as error:
        if isinstance(error.__context__, EmbedrunError) and not error.__suppress_context__:
            print(printable(str(error.__context__)), file=sys.stderr)  # what could not be written down
        print(printable(str(error)), file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to continue from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.filename is None and error.errno != errno.ENOSPC:
            raise
        print(printable(f"{error.filename or 'the disk'}: {error.strerror}"), file=sys.stderr)
        return 2 if error.errno == errno.ENAMETOOLONG else 1


def _parser(commands: Mapping[str, Command], words: Sequence[str]) -> ArgumentParser:
    """Return the parser of a command line: every command by name, and the arguments of the one that it chooses."""
    parser = ArgumentParser(
        prog="embedrun",
        description="Fine-tune an embedding model from one declared recipe.",
        epilog="`embedrun RECIPE` is short for `embedrun run RECIPE`; a shipped recipe goes by its name.",
    )
    parser.add_argument("--version", action="version", version=f"embedrun {installed_version('embedrun')}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True, dest="command")
    command_name = next((word for word in words if not word.startswith("-")), None)
    # One that is named first needs no other's parser.
    named_first = command_name in commands and command_name == words[0]
    for name, command in commands.items():
        if named_first and name != command_name:
            continue
        subparser = subparsers.add_parser(name, help=command.summary, description=command.summary)
        if name == command_name:
            command.configure(subparser)
    return parser
