"""What is being deployed, written down before it is proven, so that `embedrun delete` finds it after a crash too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from embedrun.artifacts import Endpoint
from embedrun.context import Context
from embedrun.stages import Deployer

ENDPOINT = "endpoint.json"
"""The engine writes it again, in full, when the deployer returns."""


@contextmanager
def written_down(ctx: Context, deployer: Deployer, endpoint: Endpoint) -> Iterator[None]:
    """Keep an endpoint's record in the run's folder from now on; take it away where the block fails."""
    file = ctx.out.parent / ENDPOINT
    described = {"endpoint": endpoint.model_dump(mode="json"), "deployer": deployer.model_dump(mode="json")}
    file.write_text(json.dumps(described, indent=1) + "\n", "utf-8")
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise
