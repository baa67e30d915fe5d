"""What an image is built from, and the name that follows from it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path

import embedrun
from embedrun.errors import UserError
from embedrun_plugins.services.docker import distributions
from embedrun_plugins.services.docker.requirements import DEFAULT_EXTRAS, needs

_EXECUTABLE = frozenset({"entrypoint.sh", "pip.sh"})
_TORCH = re.compile(
    r"(torch|triton|nvidia-.*|filelock|fsspec|jinja2|markupsafe|mpmath|networkx|setuptools|sympy|typing-extensions)=="
)
"""Pins that decide what installing torch installs, so that no other pin installs it again."""
_NAMED_BY = {"BASE_IMAGE": "--base-image", "EXTRAS": "--extras", "RUN_AS": "--user"}
"""Options that say what build arguments of ours are."""
_SECRET = re.compile(r"://[^/?#\s]*@")
"""An address with a name, a password or a token before its host."""
_PASSED = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT")
"""Settings of pip that are passed on from the environment, unless they name this machine's own files."""


@dataclass(frozen=True)
class BuildContext:
    """A build's context and arguments."""

    files: Mapping[str, bytes]
    arguments: Mapping[str, str]
    """Build arguments that say what the image is."""
    reference: str

    def told(self, settings: Mapping[str, str]) -> dict[str, str]:
        """Return all build arguments: ours, pip's settings from the environment, and those that are named.

        Raises UserError where one is named that says what the image is, or holds a secret.
        """
        for name in settings:
            if name in self.arguments:
                how = f"set it by {_NAMED_BY[name]}" if name in _NAMED_BY else "cannot be chosen"
                raise UserError(f"--build-arg {name}: the image is named by what it is made of; {how}")
        return {**self.arguments, **passed(settings)}

    def archive(self) -> bytes:
        """Return the context as the engine takes it: the same bytes for the same files."""
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w") as archive:
            for name, text in sorted(self.files.items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = len(text), _mode(name)
                archive.addfile(entry, io.BytesIO(text))
        return content.getvalue()

    def write(self, folder: Path) -> None:
        """Write the context into a new folder. Raises UserError where there is one already, or none can be made."""
        try:
            folder.mkdir(parents=True)
            for name, text in self.files.items():
                path = folder / name
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(text)
                path.chmod(_mode(name))
        except FileExistsError as error:
            raise UserError(f"{folder}: is there already; name a new folder") from error
        except OSError as error:
            raise UserError(f"{folder}: cannot be written: {error.strerror}") from error


def pack(extras: Iterable[str] = (), base_image: str | None = None, user: int | None = None) -> BuildContext:
    """Pack what is installed here. `extras` come on top of DEFAULT_EXTRAS.

    Raises UserError for an extra or a base image that cannot be, and for a plugin that cannot be packed.
    """
    files = {name: path.read_bytes() for name, path in distributions.docker_files().items()}
    constraints = files["constraints.txt"].decode()
    chosen = DEFAULT_EXTRAS | set(extras)
    needed = needs(chosen, distributions.plugins(), constraints)
    wheels = [distributions.own(), *needed.wheels]
    pins = [line for line in constraints.splitlines() if _TORCH.match(line)]
    for name, lines in (("torch.txt", pins), ("requirements.txt", needed.own), ("extras.txt", needed.more)):
        files[name] = "".join(f"{line}\n" for line in lines).encode()
    # How a wheel is compressed differs between machines; the files in it do not.
    digest = _digest({**files, **{f"wheels/{wheel.file_name}": wheel.record for wheel in wheels}})
    arguments = {
        "BASE_IMAGE": _base_image(base_image, files["Dockerfile"].decode()),
        "EXTRAS": ",".join(sorted(chosen)),
        "RUN_AS": str(1000 if user is None else user),
        "VERSION": version("embedrun"),
        "CONSTRAINTS": f"sha256:{hashlib.sha256(files['constraints.txt']).hexdigest()}",
    }
    tag = hashlib.sha256(json.dumps([digest, arguments], sort_keys=True).encode()).hexdigest()[:12]
    files |= {f"wheels/{wheel.file_name}": wheel.wheel() for wheel in wheels}
    readable = re.sub(r"[^\w.-]", "-", arguments["VERSION"])
    # Where the code comes from is told, but the same code makes the same image.
    return BuildContext(files, arguments | {"REVISION": _revision()}, f"embedrun:{readable}-{tag}")


def passed(named: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of pip that a build is told: those of the environment, and what is named, which goes first.

    Raises UserError where one holds a password or a token, which the image's history would show.
    """
    settings = {name: os.environ[name] for name in _PASSED if os.environ.get(name) and not _is_local(os.environ[name])}
    for name, value in {**settings, **named}.items():
        if _SECRET.search(value):
            raise UserError(
                f"{name}: holds a password or a token, which the image's history would keep; put it into /etc/pip.conf "
                f"of a base image of yours and name that with --base-image, or set {name} to an address without one"
            )
    return {**settings, **named}


def _is_local(value: str) -> bool:
    """Say whether a setting of pip names files, which a container does not see."""
    return any(word.startswith(("/", ".", "~", "file:")) for word in value.split())


def _base_image(named: str | None, dockerfile: str) -> str:
    written = re.search(r"^ARG BASE_IMAGE=(\S+)", dockerfile, re.MULTILINE)
    image = named or os.environ.get("EMBEDRUN_BASE_IMAGE") or (written[1] if written else "")
    if not re.fullmatch(r"[\w./:@-]+", image) or "://" in image:
        raise UserError(f"base image: '{image}' is not an image name such as debian:bookworm or name@sha256:…")
    return image


def _digest(files: Mapping[str, bytes]) -> str:
    lines = [f"{hashlib.sha256(text).hexdigest()} {_mode(name):o} {name}\n" for name, text in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _mode(name: str) -> int:
    return 0o755 if name in _EXECUTABLE else 0o644


def _revision() -> str:
    """Return the commit that embedrun is installed from, marked where files have changed since; "unknown" without."""
    origin = json.loads(distribution("embedrun").read_text("direct_url.json") or "{}")
    if commit := origin.get("vcs_info", {}).get("commit_id"):
        return str(commit)
    if not _git("ls-files", "--", "cli.py"):
        return "unknown"
    return _git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or "unknown"


def _git(*words: str) -> str:
    """Return what git says about the folder that embedrun's code lies in, nothing where that is in no repository."""
    command = ["git", "-C", str(Path(embedrun.__file__).resolve().parent), *words]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603  # no shell, fixed words
    except (OSError, subprocess.SubprocessError):
        return ""
