"""The built-in stages, entered by the same entry point as anyone's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from embedrun import LocalModel, Model, Stage, hookimpl
from embedrun_plugins import offline
from embedrun_plugins.runtimes.local import Local


@hookimpl
def embedrun_stages() -> list[type[Stage]]:
    return [Local]


@hookimpl
def embedrun_models() -> list[LocalModel]:
    return offline.installed()


@hookimpl
def embedrun_serve(model: Model, host: str, port: int, options: Mapping[str, Any]) -> bool:
    from embedrun_plugins.serving import serve

    serve(model, host=host, port=port, **options)
    return True
