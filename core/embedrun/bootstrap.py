"""`comparison(ctx, scores)`, for `Evaluator.compare`: how models differ, and how sure that is."""

from __future__ import annotations

from typing import Any

from embedrun.names import of_plugins


def __getattr__(name: str) -> Any:
    return getattr(of_plugins("bootstrap"), name)
