"""What an image must install: embedrun's own needs, those of its extras, and those of the plugins beside it."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from embedrun.errors import UserError, suggest
from embedrun_plugins.services.docker.distributions import is_from_index, is_pure, packed
from embedrun_plugins.services.docker.wheels import Packed

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
    wanted = _checked(set(extras), set(installed.metadata.get_all("Provides-Extra") or ()))
    pins = {canonicalize_name(line.partition("==")[0].strip()) for line in constraints.splitlines() if "==" in line}
    followed = _Plugins(pins)
    for plugin in plugins:
        followed.pack(plugin)
    wanted |= followed.extras
    basic = {str(need) for need in _required(installed)}
    more = {str(need) for need in _required(installed, wanted)} - basic
    lines = sorted(more | set(followed.lines.values()))
    return Needs(sorted(basic), lines, list(followed.wheels.values()))


def _checked(wanted: set[str], existing: set[str]) -> set[str]:
    for extra in sorted(wanted):
        if extra in NEVER:
            raise UserError(f"extras: '{extra}' cannot be installed in an image{suggest('', existing - NEVER)}")
        if extra not in existing:
            raise UserError(f"extras: embedrun has no extra '{extra}'{suggest(extra, existing - NEVER)}")
    return wanted


class _Plugins:
    """Follows what plugins require until an index, or the constraints, take over."""

    def __init__(self, pins: Container[str]) -> None:
        self._pins = pins
        self.lines: dict[str, str] = {}
        self.wheels: dict[str, Packed] = {}
        self.extras: set[str] = set()
        """Extras of embedrun that plugins ask for."""

    def pack(self, plugin: Distribution, extras: Iterable[str] = ()) -> None:
        """Take a distribution's own files, or its name and version where only an index can give what it is."""
        name = canonicalize_name(plugin.name)
        if is_from_index(plugin) and not is_pure(plugin):
            self.lines[name] = _pinned(plugin, extras)
        elif name not in self.wheels:
            self.wheels[name] = packed(plugin)
        self._follow(plugin, extras)

    def _follow(self, plugin: Distribution, extras: Iterable[str]) -> None:
        for need in _required(plugin, set(extras), with_own=True):
            name = canonicalize_name(need.name)
            if name == "embedrun":
                self.extras |= need.extras - NEVER
            elif name in self._pins:
                self.lines[name] = str(need)
            elif name not in self.lines and name not in self.wheels:
                self._take(need)

    def _take(self, need: Requirement) -> None:
        name = canonicalize_name(need.name)
        try:
            installed = distribution(name)
        except PackageNotFoundError:
            self.lines[name] = str(need)
            return
        if is_from_index(installed):
            self.lines[name] = _pinned(installed, need.extras)
            self._follow(installed, need.extras)
        else:
            self.pack(installed, need.extras)


def _required(installed: Distribution, extras: Iterable[str] = (), *, with_own: bool = False) -> Iterator[Requirement]:
    """Yield what a distribution requires for some extras, or without any, on Linux."""
    chosen = [*extras, *([""] if with_own or not extras else [])]
    for need in map(Requirement, installed.requires or ()):
        marker, need.marker = need.marker, None  # which holds for what is yielded
        if any(marker.evaluate({**_IMAGE, "extra": extra}) for extra in chosen) if marker else "" in chosen:
            yield need


def _pinned(installed: Distribution, extras: Iterable[str]) -> str:
    named = f"[{','.join(sorted(extras))}]" if set(extras) else ""
    # What stands behind + says how something was built, and indexes seldom have it.
    return f"{canonicalize_name(installed.name)}{named}=={installed.version.partition('+')[0]}"
