"""`embedrun delete`: remove what was deployed."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from embedrun import UserError
from embedrun_plugins.cli.arguments import runs as add_runs
from embedrun_plugins.cli.console import say
from embedrun_plugins.services.ledger import delete


def configure(parser: ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("run", nargs="?", metavar="RUN", help="a run's folder, or a recipe's name for all of its runs")
    which.add_argument("--expired", action="store_true", help="cloud resources past their age limit, of every run")
    which.add_argument("--all", action="store_true", help="all cloud resources of every run")
    add_runs(parser)


def run(arguments: Namespace) -> int:
    if arguments.run:
        deleted = delete.of_run(arguments.run, arguments.runs, say)
    else:
        deleted = delete.of_ledger(say, only_expired=arguments.expired)
    for fault in deleted.faults:
        say(fault, stream=sys.stderr)
    if not deleted.count and not deleted.faults:
        say(f"{arguments.run or 'the ledger'}: nothing {'expired' if arguments.expired else 'deployed'}")
    return UserError.exit_code if deleted.faults else 0
