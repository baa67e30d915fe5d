"""For plugin authors: a small retrieval set, a tiny model, and a check that a stage keeps the contract."""

from __future__ import annotations

from typing import Any

from embedrun.names import of_plugins


def __getattr__(name: str) -> Any:
    return getattr(of_plugins("testing"), name)
