"""`python -m embedrun_plugins.models.serving`: the server as a process of its own, as deployer `local` starts it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import EmbedrunError
from embedrun.model_settings import ModelSettings


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.starter:
        threading.Thread(target=_end_if_forgotten, args=(arguments.starter, arguments.record), daemon=True).start()
    try:
        from embedrun_plugins.models.serving.limits import ServerLimits
        from embedrun_plugins.models.serving.server import serve

        serve(
            Model(arguments.model, ModelSettings.model_validate_json(arguments.settings)),
            host=arguments.host,
            port=arguments.port,
            api_key_env=arguments.api_key_env,
            device=arguments.device,
            limits=ServerLimits.model_validate_json(arguments.limits),
            name=arguments.name,
            on_ready=lambda url: _tell(url, arguments.url_file),
        )
    except EmbedrunError as error:
        print(error, file=sys.stderr)  # noqa: T201 # this is a command
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedrun_plugins.models.serving", description=__doc__)
    parser.add_argument("model", type=Path, help="folder of the model")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="0 takes one that is free")
    parser.add_argument("--device", help="torch device")
    parser.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="the model's settings")
    parser.add_argument("--limits", default="{}", metavar="JSON", help="the server's limits")
    parser.add_argument("--name", help="what the server calls the model; by default its folder's name")
    parser.add_argument("--url-file", type=Path, help="file that the URL is written to when the server answers")
    parser.add_argument("--starter", type=int, metavar="PID", help="process that starts it, and writes the record")
    parser.add_argument("--record", type=Path, help="file without which nobody knows of it once the starter has ended")
    return parser


def _end_if_forgotten(starter: int, record: Path) -> None:
    """End this process where the one that started it has ended, by a kill say, and left no record of it."""
    while not record.exists():
        if os.getppid() != starter and not record.exists():
            os.kill(os.getpid(), signal.SIGTERM)
            return
        time.sleep(1)


def _tell(url: str, file: Path | None) -> None:
    print(url, flush=True)  # noqa: T201 # this is a command
    if file is not None:
        scratch = file.with_name(f"{file.name}.{os.getpid()}")
        scratch.write_text(url, "utf-8")
        scratch.replace(file)


if __name__ == "__main__":
    sys.exit(main())
