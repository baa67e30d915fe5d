"""`embedrun sweep`: the best settings of a recipe, found on dev within a budget, and the winner's verdict on test."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path

from embedrun_plugins.cli.arguments import count, device, places, recipe

_UNITS = {"h": 3600, "m": 60, "s": 1}
_SAMPLERS = ("tpe", "random", "gp")
_PRUNERS = ("median", "halving", "hyperband", "none")


def configure(parser: ArgumentParser) -> None:
    recipe(parser, "a value, or what to try: '1e-5..1e-4 log', '8..64 step 8', 10,20,50")
    parser.add_argument("--trials", type=count, default=20, metavar="COUNT", help="trials at most (20)")
    help_budget = "time for all trials, such as 2h, 90m or 1h30m; sessions of a sweep that was ended count together"
    parser.add_argument("--budget", type=_seconds, metavar="TIME", help=help_budget)
    parser.add_argument("--sampler", choices=_SAMPLERS, default="tpe", help="how settings are drawn (tpe)")
    parser.add_argument("--pruner", choices=_PRUNERS, default="median", help="which trials end early (median)")
    help_parallel = "trials at once (one for each GPU; 1 on a CPU)"
    parser.add_argument("--parallel", type=count, metavar="COUNT", help=help_parallel)
    help_write = "where the winner's recipe goes (./best.yaml)"
    parser.add_argument("--write", type=Path, default=Path("best.yaml"), metavar="FILE", help=help_write)
    parser.add_argument("--plan", action="store_true", help="say what it would cost, and run nothing")
    parser.add_argument("--on", metavar="RUNTIME", help="where to train; short for --set runtime.type=RUNTIME")
    parser.add_argument("--device", type=device, metavar="DEVICE", help="torch device, such as cpu or cuda")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    places(parser)


def run(arguments: Namespace) -> int:
    from embedrun_plugins.cli.trials.sweep_command import SweepCommand

    command = SweepCommand.of(arguments)
    return command.plan() if arguments.plan else command.run()


def _seconds(text: str) -> float:
    parts = re.findall(r"(\d+(?:\.\d+)?)([hms])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ArgumentTypeError(f"'{text}' is no time; write 2h, 90m, 1h30m or 600s")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if not seconds:
        raise ArgumentTypeError(f"'{text}' is no time to run anything in")
    return seconds
