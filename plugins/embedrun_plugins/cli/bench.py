"""`embedrun bench`: how fast an endpoint answers, and how much, under load."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from embedrun import RunRecord, UserError
from embedrun_plugins.cli import console as terminal
from embedrun_plugins.cli.arguments import runs
from embedrun_plugins.cli.console import say, table
from embedrun_plugins.cli.wrong_values import phrase
from embedrun_plugins.results.runs import find_run
from embedrun_plugins.services.addresses import reachable
from embedrun_plugins.services.credentials import variable
from embedrun_plugins.services.endpoints.client import RequestParameters
from embedrun_plugins.services.endpoints.deployed import deployed
from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key
from embedrun_plugins.services.endpoints.load_test.settings import LEVELS, SECONDS, WARM_UP, Latency
from embedrun_plugins.services.endpoints.load_test.texts import (
    PLAIN,
    Load,
    counted_by_model,
    counted_by_server,
    of_file,
    of_run,
)
from embedrun_plugins.services.endpoints.parity.run_models import last_of
from embedrun_plugins.services.endpoints.transports import Refused, Transport, Unanswered, explained

NOTHING_ANSWERED = 1


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("target", metavar="RUN|URL", help="a run that deployed something, or a server's address")
    levels = ",".join(map(str, LEVELS))
    help_levels = f"numbers of clients, one after the other ({levels})"
    parser.add_argument("--concurrency", type=_levels, default=LEVELS, metavar="N,N", help=help_levels)
    help_seconds = f"seconds that each number of clients is measured ({SECONDS:g})"
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=help_seconds)
    help_warm = f"seconds that they send requests before that ({WARM_UP:g})"
    parser.add_argument("--warm-up", type=float, default=WARM_UP, metavar="S", help=help_warm)
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="texts in a request (1)")
    help_texts = "file with a text on each line; by default the run's questions"
    parser.add_argument("--texts", type=Path, metavar="FILE", help=help_texts)
    help_key = "with a URL: environment variable that holds the server's key"
    parser.add_argument("--api-key-env", type=_variable, metavar="NAME", help=help_key)
    parser.add_argument(
        "--prompt-name", metavar="NAME", help="with a URL: the prompt that the server puts before texts"
    )
    parser.add_argument("--json", action="store_true", help="end standard output with one line of JSON")
    runs(parser)


@dataclass(frozen=True)
class _Target:
    """An endpoint, how it is asked, and what it is asked."""

    name: str
    transport: Transport
    reading: RequestParameters
    load: Load


def run(arguments: Namespace) -> int:
    settings = _settings(arguments)
    targets = _served(arguments) if "://" in arguments.target else _deployed(arguments)
    results = [_measured(target, settings) for target in targets]
    if arguments.json:
        print(json.dumps({"target": arguments.target, "endpoints": results}))
    answered = any(level["requests"] for result in results for level in result["levels"])
    return 0 if answered else NOTHING_ANSWERED


def _settings(arguments: Namespace) -> Latency:
    names = ("concurrency", "seconds", "warm_up", "batch")
    try:
        return Latency.model_validate({name: getattr(arguments, name) for name in names})
    except ValidationError as error:
        problem = error.errors()[0]
        name = str(problem["loc"][0]).replace("_", "-")
        raise UserError(f"--{name}: {phrase(problem)}") from None


def _served(arguments: Namespace) -> list[_Target]:
    server = HttpTransport(reachable(arguments.target), Key(variable=arguments.api_key_env))
    try:
        server.send(RequestParameters(query=arguments.prompt_name).body(["a"], "query"))
    except (Refused, Unanswered) as problem:
        server.close()
        raise explained(server.where, problem) from problem
    load = of_file(arguments.texts) if arguments.texts else Load(PLAIN)
    reading = RequestParameters(query=arguments.prompt_name)
    return [_Target(server.url, server, reading, counted_by_server(load, server))]


def _deployed(arguments: Namespace) -> list[_Target]:
    for option in ("api_key_env", "prompt_name"):
        if getattr(arguments, option):
            raise UserError(f"--{option.replace('_', '-')}: applies to a URL only; a run's record says it already")
    record = RunRecord.read(find_run(arguments.target, arguments.runs))
    load = of_file(arguments.texts) if arguments.texts else of_run(record)
    with suppress(UserError):  # a model that is no longer kept cannot count tokens
        load = counted_by_model(load, last_of(record, arguments.runs, offline=True))
    targets = [
        _Target(f"{deployment.name} {transport.where}", transport, deployment.reading or RequestParameters(), load)
        for deployment in deployed(record.folder)
        if (transport := deployment.transport)
    ]
    if not targets:
        raise UserError(
            f"{record.folder}: deployed nothing that answers, or it was deleted; start a server with `embedrun serve "
            f"{record.folder}`, and give its address"
        )
    return targets


def _measured(target: _Target, settings: Latency) -> dict[str, Any]:
    console = terminal.console()
    console.started("bench", target.name)
    try:
        with closing(target.transport):
            levels = settings.measured(target.transport, target.reading, target.load, console.progress)
    finally:
        console.close()
    say("\n".join([target.name, *shown(levels)]))
    return {"name": target.name, "levels": levels}


def shown(levels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield the figures as a table, and what each error was."""
    header = ["clients", "requests", "p50 ms", "p95 ms", "p99 ms", "requests/s", "tokens/s", "errors"]
    keys = ("concurrency", "requests", "p50_ms", "p95_ms", "p99_ms", "requests_per_second", "tokens_per_second")
    yield table(header, [[*(_figure(level[key]) for key in keys), _errors(level["errors"])] for level in levels])
    yield from dict.fromkeys(f"error: {level['said']}" for level in levels if level["said"])


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.4g}" if isinstance(value, float) else f"{value:,}"


def _errors(errors: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} x {kind}" for kind, count in errors.items()) or "0"


def _levels(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(","))
    except ValueError:
        raise ArgumentTypeError(f"'{text}' is not a list of numbers such as 1,8,64") from None


def _variable(name: str) -> str:
    try:
        return variable(name)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
