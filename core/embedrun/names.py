"""What the engine takes from the plugins that come with it, by the names of the entry points `embedrun.names`."""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, distribution
from typing import Any


def of_plugins(name: str) -> Any:
    return _points()[name].load()


@cache
def _points() -> dict[str, EntryPoint]:
    # To look through every installed package takes a hundred times as long.
    return {point.name: point for point in distribution("embedrun").entry_points if point.group == "embedrun.names"}
