"""`embedrun serve`: a model over HTTP, in the foreground."""

from __future__ import annotations

import json
import logging
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from embedrun import Command, Model
from embedrun.cli import places, settings_of
from embedrun.errors import MissingPackageError
from embedrun.models import carried, fetch, find
from embedrun.recipe import ModelChoice
from embedrun.record import RunRecord, find_run, is_run
from embedrun.registry import Registry
from embedrun.store import FileDigests


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run, a model's folder, or a hub id")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    parser.add_argument("--device", metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the key to ask for")
    parser.add_argument("--offline", action="store_true", help="download nothing")
    places(parser)


def run(arguments: Namespace) -> int:
    files = FileDigests(settings_of(arguments).store_folder / "files.json")
    model = named(arguments.model, Registry(), files, runs=arguments.runs, offline=arguments.offline)
    serve = _server()
    options = {"host": arguments.host, "port": arguments.port, "device": arguments.device}
    serve(model, **options, api_key_env=arguments.api_key_env, on_ready=_announce)
    return 0


def _server() -> Callable[..., None]:
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingPackageError("serve", package, "serve")
    from embedrun_plugins.serving.server import serve

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    return serve


def _announce(url: str) -> None:
    print(f"serving on {url} (POST {url}/embed, {url}/v1/embeddings; GET {url}/info); Ctrl-C ends it", flush=True)


def named(name: str, registry: Registry, files: FileDigests, *, runs: Path, offline: bool) -> Model:
    """Return the model that a word means: a run's last model, a folder, or a hub id.

    Raises UserError where there is no such model.
    """
    folder = next((path for path in (Path(name), runs / name) if is_run(path)), None)
    if folder is None:
        choice = ModelChoice(id=name)
        return Model(fetch(find(choice, registry, files, folder=Path(), offline=offline), offline=offline))
    record = RunRecord.read(find_run(str(folder), runs))
    lock = json.loads((record.folder / "recipe.lock.json").read_text("utf-8"))["lock"]["recipe"]
    choice = ModelChoice.model_validate(lock["model"])
    for slot in ("merge", "trainer"):
        if made := record.artifact(slot):
            return Model(made, carried(choice.settings))
    return Model(fetch(find(choice, registry, files, folder=Path(), offline=offline), offline=offline), choice.settings)


SERVE = Command("serve", "Serve a model over HTTP on this machine.", configure, run)
