"""`embedrun serve`: a model over HTTP, in the foreground."""

from __future__ import annotations

import json
import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from embedrun import Command, Model
from embedrun.errors import MissingPackageError, UserError
from embedrun.models import carried, fetch, find
from embedrun.recipe import ModelChoice
from embedrun.record import RunRecord, find_run, is_run
from embedrun.registry import Registry
from embedrun.store import FileDigests
from embedrun_plugins.commands.arguments import places, settings_of
from embedrun_plugins.deployers.variables import variable


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run, a model's folder, or a hub id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    parser.add_argument("--device", metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument(
        "--api-key-env", type=_variable, metavar="NAME", help="environment variable that holds the key to ask for"
    )
    parser.add_argument("--offline", action="store_true", help="download nothing")
    places(parser)


def _variable(name: str) -> str:
    try:
        return variable(name)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def run(arguments: Namespace) -> int:
    files = FileDigests(settings_of(arguments).store_folder / "files.json")
    served = named(arguments.model, Registry(), files, runs=arguments.runs, offline=arguments.offline)
    serve = _server()
    options = {"host": arguments.host, "port": arguments.port, "device": arguments.device}
    serve(
        served.model,
        **options,
        api_key_env=arguments.api_key_env,
        name=served.name,
        on_ready=partial(_announce, served.name),
    )
    return 0


def _server() -> Callable[..., None]:
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingPackageError("serve", package, "serve")
    from embedrun_plugins.serving.server import serve

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    return serve


def _announce(name: str, url: str) -> None:
    routes = f"POST {url}/embed, {url}/v1/embeddings; GET {url}/info"
    print(f"serving {name}, on {url} ({routes}); Ctrl-C ends it", flush=True)


@dataclass(frozen=True)
class Served:
    """A model to serve, and what its clients know it by."""

    model: Model
    name: str


def named(name: str, registry: Registry, files: FileDigests, *, runs: Path, offline: bool) -> Served:
    """Return the model that a word means: a run's last model, a folder, or a hub id.

    Raises UserError where there is no such model, or the run's last one is not made or no longer kept.
    """

    def base(choice: ModelChoice) -> Model:
        return Model(
            fetch(find(choice, registry, files, folder=Path(), offline=offline), offline=offline), choice.settings
        )

    folder = next((path for path in (Path(name), runs / name) if is_run(path)), None)
    if folder is None:
        return Served(base(ModelChoice(id=name)), Path(name).name if Path(name).is_dir() else name)
    record = RunRecord.read(find_run(str(folder), runs))
    lock = record.folder / "recipe.lock.json"
    recipe = json.loads(lock.read_text("utf-8"))["lock"]["recipe"]
    choice = ModelChoice.model_validate(recipe["model"])
    slot, role = _last_model(recipe)
    known_as = f"{record.data['name']}/{record.folder.resolve().name}, {role}"
    if slot is None:
        return Served(base(choice), known_as)
    made = record.artifact(slot)
    if made is None:
        raise UserError(f"{record.folder}: has no {role} model, or no longer; run it again with `embedrun run {lock}`")
    return Served(Model(made, carried(choice.settings)), known_as)


def _last_model(recipe: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the slot that makes the model which a run ends with, and that model's role."""
    if recipe.get("merge"):
        return "merge", "merged"
    return ("trainer", "tuned") if recipe.get("trainer") else (None, "base")


SERVE = Command("serve", "Serve a model over HTTP on this machine.", configure, run)
