"""The command line: `embedrun RECIPE` and what belongs to it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from embedrun.errors import EmbedrunError

INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 done, 1 a stage failed, 2 the user's mistake, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    parser, names = _parser()
    if words and not words[0].startswith("-") and words[0] not in names:
        words.insert(0, "run")
    arguments = parser.parse_args(words or ["--help"])
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except EmbedrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> tuple[argparse.ArgumentParser, frozenset[str]]:
    parser = argparse.ArgumentParser(
        prog="embedrun",
        description="Fine-tune an embedding model from one declared recipe.",
        epilog="`embedrun RECIPE` is short for `embedrun run RECIPE`; a shipped recipe goes by its name.",
    )
    parser.add_argument("--version", action="version", version=f"embedrun {_version()}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_run, _add_plan, _add_check, _add_schema, _add_plugins, _add_recipes, _add_init):
        add(commands)
    for add in (_add_show, _add_compare, _add_serve, _add_delete, _add_gc):
        add(commands)
    return parser, frozenset(commands.choices)


_Commands = argparse._SubParsersAction  # noqa: SLF001  # argparse has no public name for what add_subparsers returns


def _version() -> str:
    from importlib.metadata import version

    return version("embedrun")


def _add(commands: _Commands[argparse.ArgumentParser], name: str, summary: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.set_defaults(command=_lazily(name))
    return parser


def _lazily(name: str) -> Callable[[argparse.Namespace], int]:
    def command(arguments: argparse.Namespace) -> int:
        from embedrun import commands

        run: Callable[[argparse.Namespace], int] = getattr(commands, name)
        return run(arguments)

    return command


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runs", type=Path, default=Path("runs"), metavar="FOLDER", help="run records (./runs)")
    parser.add_argument(
        "--store", type=Path, metavar="FOLDER", help="results to reuse ($EMBEDRUN_STORE, else RUNS/.store)"
    )


def _recipe(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe file, or a shipped recipe's name")
    parser.add_argument(
        "--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="change a value of the recipe"
    )


def _running(parser: argparse.ArgumentParser) -> None:
    _recipe(parser)
    parser.add_argument("--until", metavar="STAGE", help="stop after this stage")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--device", metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    _places(parser)


def _add_run(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "run", "Run a recipe.")
    _running(parser)
    parser.add_argument("--on", metavar="RUNTIME", help="where to run; short for --set runtime.type=RUNTIME")


def _add_plan(commands: _Commands[argparse.ArgumentParser]) -> None:
    _running(_add(commands, "plan", "Show what a recipe would run, and what it would reuse."))


def _add_check(commands: _Commands[argparse.ArgumentParser]) -> None:
    _recipe(_add(commands, "check", "Check a recipe without running it."))


def _add_schema(commands: _Commands[argparse.ArgumentParser]) -> None:
    _add(commands, "schema", "Print the JSON Schema of recipes, with every installed stage.")


def _add_plugins(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "plugins", "List the installed stages, or show one with its keys.")
    parser.add_argument("stage", nargs="?", metavar="STAGE", help="a type, or KEY.TYPE where a type is not unique")


def _add_recipes(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "recipes", "List the shipped recipes, or copy one here to change it.")
    parser.add_argument("name", nargs="?", metavar="RECIPE", help="copy this one")
    parser.add_argument("to", nargs="?", type=Path, metavar="FILE", help="under this name (./RECIPE.yaml)")


def _add_init(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "init", "Write a recipe to start from.")
    parser.add_argument("file", nargs="?", type=Path, default=Path("recipe.yaml"), metavar="FILE")
    parser.add_argument("--data", metavar="FILE", default="pairs.jsonl", help="pairs to train on (json, jsonl, csv …)")
    parser.add_argument("--model", metavar="ID", default="sentence-transformers/all-MiniLM-L6-v2")


def _add_show(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "show", "Show a run: its stages, its scores, its model.")
    parser.add_argument("run", metavar="RUN", help="a run's folder, or a recipe's name for its latest run")
    parser.add_argument("--json", action="store_true", help="print run.json")
    _places(parser)


def _add_compare(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "compare", "Compare the models of two runs.")
    parser.add_argument("first", metavar="RUN")
    parser.add_argument("second", metavar="RUN")
    _places(parser)


def _add_serve(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "serve", "Serve a model over HTTP on this machine.")
    parser.add_argument("model", metavar="MODEL", help="a run, a model's folder, or a hub id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    parser.add_argument("--device", metavar="DEVICE")
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key to ask for")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    _places(parser)


def _add_delete(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "delete", "Delete what a run deployed.")
    parser.add_argument("run", metavar="RUN")
    _places(parser)


def _add_gc(commands: _Commands[argparse.ArgumentParser]) -> None:
    parser = _add(commands, "gc", "Free what no run refers to; delete a run's folder to let go of its results.")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be freed")
    _places(parser)
