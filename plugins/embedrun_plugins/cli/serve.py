"""`embedrun serve`: a model over HTTP, in the foreground."""

from __future__ import annotations

import logging
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from embedrun.errors import MissingPackageError
from embedrun.file_digests import FileDigests
from embedrun.registry import Registry
from embedrun_plugins.cli.arguments import places, settings_of
from embedrun_plugins.models.cross_encoders import is_cross_encoder
from embedrun_plugins.models.serving.limits import ServerLimits
from embedrun_plugins.services.credentials import variable
from embedrun_plugins.services.served_models import Served, named


def configure(parser: ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a run, a model's folder, or a hub id")
    parser.add_argument("--reranker", action="store_true", help="of a run, its reranker in place of its last model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 picks a free one")
    parser.add_argument("--device", metavar="DEVICE", help="torch device, such as cpu or cuda:1")
    parser.add_argument(
        "--api-key-env", type=_variable, metavar="NAME", help="environment variable with the API key to require"
    )
    parser.add_argument(
        "--client-batch-size", type=_texts, metavar="N", help="texts that one request may hold; by default 8192"
    )
    parser.add_argument("--offline", action="store_true", help="download nothing")
    places(parser)


def _variable(name: str) -> str:
    try:
        return variable(name)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


def _texts(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise ArgumentTypeError(f"must be a whole number of at least 1, not {word!r}")
    return int(word)


def run(arguments: Namespace) -> int:
    files = FileDigests(settings_of(arguments).store_folder / "files.json")
    served = named(
        arguments.model, Registry(), files, runs=arguments.runs, offline=arguments.offline, reranker=arguments.reranker
    )
    serve = _server()
    texts = arguments.client_batch_size
    options = {"host": arguments.host, "port": arguments.port, "device": arguments.device}
    serve(
        served.model,
        **options,
        api_key_env=arguments.api_key_env,
        limits=ServerLimits(max_client_batch_size=texts) if texts else ServerLimits(),
        name=served.name,
        on_ready=partial(_announce, served),
    )
    return 0


def _server() -> Callable[..., None]:
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingPackageError("serve", package, "serve")
    from embedrun_plugins.models.serving.server import serve

    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    return serve


def _announce(served: Served, url: str) -> None:
    routes = f"POST {url}/embed, {url}/v1/embeddings; GET {url}/info"
    if is_cross_encoder(served.model.path):
        routes = f"POST {url}/rerank, {url}/v1/rerank; GET {url}/info"
    print(f"serving {served.name}, on {url} ({routes}); Ctrl-C ends it", flush=True)
