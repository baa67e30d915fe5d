"""Rehearsals of the deployer `tei`: the real container where its image is here, else all but that."""

from __future__ import annotations

from pathlib import Path

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context, Resolver
from embedrun.errors import UserError
from embedrun_plugins.deployers.tei import Tei
from embedrun_plugins.rehearsal.changing import changed, standing_in
from embedrun_plugins.rehearsal.telling import tell
from embedrun_plugins.tei.options import remove_export


class _Exported(Tei):
    """Writes what TEI would load, checks it and says how TEI would be told to serve it; starts nothing."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        folder = self.export(ctx.out / "model", model)
        ctx.note("environment", self.environment(folder))
        return Endpoint(deployer=self.type, path=str(folder))

    def resolve(self, resolver: Resolver) -> _Exported:  # noqa: ARG002  # nothing must be there
        return self

    def delete(self, endpoint: Endpoint) -> None:
        remove_export(Path(endpoint.path or ""))


def rehearsed(stage: Tei, folder: Path) -> Tei:
    """Return what is run instead: nothing is pulled, and no port or container of a real run is touched."""
    why, unsure = _obstacle(stage)
    if why is None:
        tell(folder, "in its own container on a free port, which is ended again")
        latency = stage.latency and stage.latency.briefly()
        return changed(stage, host="127.0.0.1", port=0, restart="no", latency=latency)
    tell(folder, f"exported and checked, and no container is started: {why}", unsure=unsure)
    return standing_in(_Exported, stage)


def _obstacle(stage: Tei) -> tuple[str | None, bool]:
    """Say why the container cannot be started in a rehearsal, and whether the run itself may stop for it."""
    from embedrun_plugins import images
    from embedrun_plugins.images.engine import client
    from embedrun_plugins.tei import engine

    try:
        connected = client()
        engine.require_here(connected)
        if stage.on_gpu():
            engine.require_gpus(connected.info())
        reference = stage.image_for(connected)
        here = images.describe(connected, reference)
    except UserError as error:
        return str(error), True
    return (None, False) if here else (f"the image {reference} is not here yet", False)
