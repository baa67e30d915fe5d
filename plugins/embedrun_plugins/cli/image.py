"""`embedrun image`: the container image, built from what is installed here."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from embedrun import UserError
from embedrun_plugins.cli import console
from embedrun_plugins.cli.console import say, table

if TYPE_CHECKING:
    from embedrun_plugins.services.docker import Description
    from embedrun_plugins.services.docker.contents import BuildContext

_HELP = {
    "--base-image": ("IMAGE", "base image ($EMBEDRUN_BASE_IMAGE, else a CUDA base)"),
    "--extras": ("EXTRAS", "further extras of embedrun to install, separated by commas"),
    "--user": ("UID", "user id that runs in it by default (1000); SageMaker needs 0"),
}


def configure(parser: ArgumentParser) -> None:
    under = parser.add_subparsers(title="what to do", metavar="ACTION", required=True, dest="action")
    build = under.add_parser("build", help="build it", description="Build the image from what is installed here.")
    show = under.add_parser("show", help="describe it", description="Describe an image, by default this one.")
    show.add_argument("reference", nargs="?", metavar="REFERENCE", help="another image")
    for command in (build, show):
        for name, (metavar, text) in _HELP.items():
            command.add_argument(name, metavar=metavar, help=text, type=_user if name == "--user" else str)
        command.add_argument("--json", action="store_true", help="print one line of JSON")
    build.add_argument("--tag", metavar="NAME", help="an additional name")
    build.add_argument("--network", metavar="NETWORK", help="network of the build, such as host")
    help_arg = "build argument, such as PIP_INDEX_URL; without a value, the environment's"
    build.add_argument(
        "--build-arg", action="append", default=[], type=_argument, metavar="NAME[=VALUE]", help=help_arg
    )
    help_context = "only write the build's files into a new folder, for another builder"
    build.add_argument("--context", type=Path, metavar="FOLDER", help=help_context)


def _user(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"'{text}' is not a user id such as 1000")
    return int(text)


def _argument(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals and name not in os.environ:
        raise ArgumentTypeError(f"'{name}' is not set in the environment; give it a value: {name}=…")
    return name, value if equals else os.environ[name]


def run(arguments: Namespace) -> int:
    return _show(arguments) if arguments.action == "show" else _build(arguments)


def _packed(arguments: Namespace) -> BuildContext:
    from embedrun_plugins.services import docker

    extras = [extra.strip() for extra in (arguments.extras or "").split(",") if extra.strip()]
    return docker.pack(extras, arguments.base_image, arguments.user)


def _build(arguments: Namespace) -> int:
    from embedrun_plugins.services import docker
    from embedrun_plugins.services.docker import engine

    packed = _packed(arguments)
    build_arguments = dict(arguments.build_arg)
    if arguments.context:
        command = _command(packed, arguments)
        packed.write(arguments.context)
        print(command)
        return 0
    say, network = console.console().say, arguments.network
    with contextlib.closing(engine.client()) as client:
        built = docker.build(client, packed, say, tag=arguments.tag, arguments=build_arguments, network=network)
    _print(built, arguments)
    return 0


def _command(packed: BuildContext, arguments: Namespace) -> str:
    """Return the command line for another builder."""
    build_arguments = packed.told(dict(arguments.build_arg))
    words = ["docker", "build"]
    words += [word for name, value in build_arguments.items() if value for word in ("--build-arg", f"{name}={value}")]
    words += ["--network", arguments.network] if arguments.network else []
    words += ["-t", packed.reference, *(["-t", arguments.tag] if arguments.tag else [])]
    return shlex.join([*words, str(arguments.context)])


def _show(arguments: Namespace) -> int:
    from embedrun_plugins.services import docker
    from embedrun_plugins.services.docker import engine

    reference = arguments.reference or _packed(arguments).reference
    with contextlib.closing(engine.client()) as client:
        description = docker.describe(client, reference)
    if description is None:
        how = "pull it: docker pull" if arguments.reference else "build it: embedrun image build"
        raise UserError(f"image {reference}: is not here; {how}{f' {reference}' if arguments.reference else ''}")
    _print(description, arguments)
    return 0


def _print(image: Description, arguments: Namespace) -> None:
    if arguments.json:
        print(json.dumps(asdict(image)))
        return
    lines = {
        "reference": image.reference,
        "id": image.id,
        "digest": image.digest or "none (it was neither pulled from a registry nor pushed to one)",
        "size": _size(image.size),
        "processors": image.architecture,
        **{f"label {name}": value for name, value in sorted(image.labels.items())},
    }
    say(table(["image", ""], lines.items(), left=True))
    print()
    shown = [(_size(layer.size), layer.made_by) for layer in image.layers]
    say(table(["layer", "made by"], [(size.rjust(9), text[:100]) for size, text in shown], left=True))


def _size(count: int) -> str:
    """Write bytes as `docker images` does, in powers of ten."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004
            return f"{count:.3g} {unit}"
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} GB"
