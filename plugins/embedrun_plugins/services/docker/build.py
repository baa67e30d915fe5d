"""Building and pulling images, and what an engine's refusals mean."""

from __future__ import annotations

import contextlib
import io
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.services.docker.contents import BuildContext
from embedrun_plugins.services.docker.engine import architecture
from embedrun_plugins.services.docker.inspect import Description, describe
from embedrun_plugins.services.foreign_output import shown

Say = Callable[[str], None]
_LAST_LINES = 20
_STEP = re.compile(r"step (\d+)/(\d+) ?: (.*)", re.DOTALL | re.IGNORECASE)
"""How Docker begins a step, and, in capitals, Podman."""
_SHOWN = re.compile(r"\s*(Downloading .*\((\d{2,}(\.\d+)? MB|[\d.]+ GB)\)|Installing collected|Pulling from |Status: )")
"""Lines of a step that take long enough to be told of."""
_WIDTH = 110


def build(
    client: Any,
    contents: BuildContext,
    say: Say,
    *,
    tag: str | None = None,
    arguments: Mapping[str, str] | None = None,
    network: str | None = None,
) -> Description:
    """Build an image and return what it became. `arguments` are further build arguments, `tag` an additional name.

    Raises UserError for a base image that cannot be had, an argument that is ours or holds a secret, or a name that is
    none; StageError for a step that fails and for a full disk, with what it said last.
    """
    from docker.utils import match_tag

    if tag and not match_tag(tag):
        raise UserError(f"--tag: '{tag}' is not an image name such as embedrun:mine")
    build_arguments = contents.told(arguments or {})
    progress = _Progress(say, contents.arguments.get("BASE_IMAGE", ""), client)
    say(f"building {contents.reference} on {progress.base}")
    with _told(progress):
        stream = client.api.build(
            fileobj=io.BytesIO(contents.archive()),
            custom_context=True,
            tag=contents.reference,
            buildargs=build_arguments,
            rm=True,
            forcerm=True,
            decode=True,
            network_mode=network,
            use_config_proxy=True,
        )
        progress.follow(stream)
        if tag:
            client.api.tag(contents.reference, *_parts(tag))
    return _found(client, tag or contents.reference)


def pull(client: Any, reference: str, say: Say) -> Description:
    """Fetch an image from its registry, `name@sha256:…` included. Raises UserError where that cannot be."""
    say(f"pulling {reference}")
    progress = _Progress(say, reference, client, "image")
    name, version = _parts(reference)
    with _told(progress):
        progress.follow(client.api.pull(name, tag=version, stream=True, decode=True))
    return _found(client, reference)


def _parts(reference: str) -> tuple[str, str]:
    """Split a reference into its name and its tag or digest; without one, the engine would pull all tags."""
    from docker.utils import parse_repository_tag

    name, version = parse_repository_tag(reference)
    return name, version or "latest"


def _found(client: Any, reference: str) -> Description:
    image = describe(client, reference)
    if image is None:
        raise StageError(f"image {reference}: the engine ended without making it; does it still run? see its own log")
    return image


@dataclass
class _Progress:
    """What an engine says while it builds or pulls: shown, remembered, and explained when it ends badly."""

    say: Say
    base: str
    client: Any
    kind: str = "base image"
    step: str = ""
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    """The last that the step printed."""

    def follow(self, stream: Iterable[Mapping[str, Any]]) -> None:
        for event in stream:
            if "error" in event:
                raise self.failure(shown(str(event["error"])))
            for line in str(event.get("stream") or event.get("status") or "").splitlines():
                self._line(shown(line).rstrip())

    def _line(self, line: str) -> None:
        if step := _STEP.match(line):
            self.step = " ".join(step[3].split())
            self.lines.clear()
            if self.step.startswith(("FROM ", "RUN ", "COPY ")):
                self.say(_cut(f"{step[1]}/{step[2]} {self.step}"))
            return
        if line.strip() and not line.startswith((" --->", "Removing intermediate container")):
            self.lines.append(line)
        if _SHOWN.match(line):
            self.say(_cut(f"    {line.strip()}"))

    def failure(self, reason: str) -> EmbedrunError:
        """Say what went wrong, and what to do about it."""
        seen = "\n".join([reason, *self.lines])
        if "no space left on device" in seen.lower():
            return StageError(
                f"image: the engine's disk is full{self._at()}; `docker system df` shows what fills it, "
                f"`docker system prune` frees what nothing uses"
            )
        if re.search("exec format error|no matching manifest|does not match the specified platform", seen):
            return UserError(
                f"{self.kind} {self.base}: is not made for this engine's processors "
                f"({architecture(self.client)}); name one that is"
            )
        if self.kind == "image" or self.step.startswith("FROM ") or not self.step:
            return self._missing(reason)
        last = "\n".join(f"    {line}" for line in self.lines)
        code = re.search(r"returned a non-zero code: (\d+)", reason)
        return StageError(f"image: the build failed{self._at()}: {f'exit code {code[1]}' if code else reason}\n{last}")

    def _at(self) -> str:
        return f" at '{_cut(self.step)}'" if self.step else ""

    def _missing(self, reason: str) -> UserError:
        """Say why an image cannot be had from its registry."""
        how = "name another with --base-image or $EMBEDRUN_BASE_IMAGE" if self.kind != "image" else "check its name"
        if re.search("denied|unauthorized|authentication required", reason):
            return UserError(
                f"{self.kind} {self.base}: there is none, or you may not have it: `docker login`, or {how}"
            )
        if re.search("not found|manifest unknown|does not exist|no such image", reason, re.IGNORECASE):
            return UserError(f"{self.kind} {self.base}: there is no such image; {how}")
        if re.search("dial tcp|no such host|timeout|deadline|TLS|connection refused|EOF", reason):
            return UserError(
                f"{self.kind} {self.base}: is not here, and its registry cannot be reached ({reason}); "
                f"load it with `docker load`, or {how}"
            )
        return UserError(f"{self.kind} {self.base}: {reason}; {how}")


@contextlib.contextmanager
def _told(progress: _Progress) -> Iterator[None]:
    """Explain what the engine refuses, and what breaks with it; make it stop where this is interrupted."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    answers: list[Any] = []

    def keep(answer: Any, **_: Any) -> None:
        answers.append(answer)

    # The engine goes on for as long as somebody holds its answer, as a traceback does.
    hooks = progress.client.api.hooks["response"]
    hooks.append(keep)
    try:
        yield
    except APIError as error:
        raise progress.failure(str(error.explanation or error)) from error
    except DockerException as error:
        raise UserError(f"image: {error}") from error
    except (RequestException, HTTPError, OSError) as error:
        raise StageError(f"image: the engine stopped answering ({error}); see whether it still runs") from error
    finally:
        hooks.remove(keep)
        for answer in answers:
            answer.close()


def _cut(text: str) -> str:
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
