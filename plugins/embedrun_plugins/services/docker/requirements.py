"""What an image must install: embedrun's own needs, those of its extras, and those of the plugins beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from embedrun.errors import UserError, suggest
from embedrun_plugins.services.docker.distributions import canonical, is_from_index, is_pure, packed
from embedrun_plugins.services.docker.wheels import Packed

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DEFAULT_EXTRAS = frozenset({"bedrock", "documents", "lora", "mining", "openai", "serve"})
"""Extras in every image: little beside torch, and most recipes need no others, so that one image is enough."""
NEVER = frozenset({"all", "docker", "offline"})
"""Extras that no image gets: a model comes from outside, and no container starts containers."""
_IMAGE = {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"}


@dataclass
class Needs:
    """What is installed into an image beside embedrun."""

    own: list[str]
    """Requirements of embedrun without extras."""
    more: list[str] = field(default_factory=list)
    """Requirements of its extras and of other plugins."""
    wheels: list[Packed] = field(default_factory=list)
    """Other plugins, and what they need that no index has."""


def needs(extras: Iterable[str], plugins: Iterable[Distribution], constraints: str) -> Needs:
    """Return what an image needs; what the constraints do not pin, plugins get in the version that is installed here.

    Raises UserError for an extra that does not exist or that no image gets, and a plugin that cannot be packed.
    """
    installed = distribution("embedrun")
    asked = _checked(set(extras), set(installed.metadata.get_all("Provides-Extra") or ()))
    pins = {canonical(line.partition("==")[0].strip()) for line in constraints.splitlines() if "==" in line}
    followed = _Plugins(pins)
    for plugin in plugins:
        followed.pack(plugin)
    asked |= followed.extras
    own = {_line(need) for need in _required(installed)}
    more = {_line(need) for need in _required(installed, asked)} - own
    lines = sorted(more | set(followed.lines.values()))
    return Needs(sorted(own), lines, list(followed.wheels.values()))


def _checked(asked: set[str], known: set[str]) -> set[str]:
    for extra in sorted(asked):
        if extra in NEVER:
            raise UserError(f"extras: '{extra}' cannot be installed in an image{suggest('', known - NEVER)}")
        if extra not in known:
            raise UserError(f"extras: embedrun has no extra '{extra}'{suggest(extra, known - NEVER)}")
    return asked


class _Plugins:
    """Follows what plugins require until an index, or the constraints, take over."""

    def __init__(self, pins: set[str]) -> None:
        self._pins = pins
        self.lines: dict[str, str] = {}
        self.wheels: dict[str, Packed] = {}
        self.extras: set[str] = set()
        """Extras of embedrun that plugins ask for."""

    def pack(self, plugin: Distribution, extras: Iterable[str] = ()) -> None:
        """Take a distribution's own files, or its name and version where only an index can give what it is."""
        name = canonical(plugin.name)
        if is_from_index(plugin) and not is_pure(plugin):
            self.lines[name] = _pinned(plugin, extras)
        elif name not in self.wheels:
            self.wheels[name] = packed(plugin)
        self._follow(plugin, extras)

    def _follow(self, plugin: Distribution, extras: Iterable[str]) -> None:
        for need in _required(plugin, set(extras), with_own=True):
            name = canonical(need.name)
            if name == "embedrun":
                self.extras |= need.extras - NEVER
            elif name in self._pins:
                self.lines[name] = _line(need)
            elif name not in self.lines and name not in self.wheels:
                self._take(need)

    def _take(self, need: Requirement) -> None:
        name = canonical(need.name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            self.lines[name] = _line(need)
            return
        if is_from_index(found):
            self.lines[name] = _pinned(found, need.extras)
            self._follow(found, need.extras)
        else:
            self.pack(found, need.extras)


def _required(installed: Distribution, extras: Iterable[str] = (), *, with_own: bool = False) -> Iterator[Requirement]:
    """Yield what a distribution requires for some extras, or without any, on Linux."""
    from packaging.requirements import Requirement

    chosen = [*extras, *([""] if with_own or not extras else [])]
    for text in installed.requires or ():
        need = Requirement(text)
        if need.marker is None:
            holds = "" in chosen
        else:
            holds = any(need.marker.evaluate(_environment(extra)) for extra in chosen)
        if holds:
            yield need


def _environment(extra: str) -> Mapping[str, str]:
    return {**_IMAGE, "extra": extra}


def _line(need: Requirement) -> str:
    """Write a requirement for pip, without its marker, which holds."""
    extras = f"[{','.join(sorted(need.extras))}]" if need.extras else ""
    return f"{need.name}{extras} @ {need.url}" if need.url else f"{need.name}{extras}{need.specifier}"


def _pinned(installed: Distribution, extras: Iterable[str]) -> str:
    named = f"[{','.join(sorted(extras))}]" if set(extras) else ""
    # What stands behind + says how something was built, and indexes seldom have it.
    return f"{canonical(installed.name)}{named}=={installed.version.partition('+')[0]}"
