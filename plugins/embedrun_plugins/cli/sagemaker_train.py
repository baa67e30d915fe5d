"""`embedrun sagemaker-train`: what a SageMaker training container runs."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path


def configure(parser: ArgumentParser) -> None:
    help_prefix = "folder of SageMaker's training contract ($SM_PREFIX, else /opt/ml)"
    parser.add_argument("--prefix", type=Path, metavar="FOLDER", help=help_prefix)
    help_port = "ports at which instances find each other: this one and the next (7777)"
    parser.add_argument("--port", type=int, default=7777, metavar="PORT", help=help_port)


def run(arguments: Namespace) -> int:
    from embedrun_plugins.services.sagemaker.container.contract import PREFIX, Container
    from embedrun_plugins.services.sagemaker.container.main import train

    prefix = arguments.prefix or Path(os.environ.get("SM_PREFIX") or PREFIX)
    code, reason = train(Container(prefix.resolve()), arguments.port)
    if reason:
        print(reason, file=sys.stderr)
    return code
