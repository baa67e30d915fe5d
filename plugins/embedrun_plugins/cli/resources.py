"""`embedrun resources`: what lives in the cloud, and what it costs."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace

from embedrun_plugins.cli.console import say
from embedrun_plugins.services.ledger.overview import living, shown


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("--offline", action="store_true", help="do not ask AWS for their status")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def run(arguments: Namespace) -> int:
    rows = living(ask=not arguments.offline)
    say(json.dumps(rows) if arguments.json else shown(rows))
    return 0
