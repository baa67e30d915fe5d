"""`Answers`: what outside services answered, kept for all runs of a store, so that nothing is paid for twice."""

from __future__ import annotations

from typing import Any

from embedrun.names import of_plugins


def __getattr__(name: str) -> Any:
    return getattr(of_plugins("answers"), name)
