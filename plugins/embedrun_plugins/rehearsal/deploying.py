"""Rehearsals of the deployers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from embedrun_plugins.deployers.hub import Hub
from embedrun_plugins.rehearsal.changing import changed, standing_in
from embedrun_plugins.rehearsal.telling import tell

if TYPE_CHECKING:
    from embedrun_plugins.deployers.directory import Directory
    from embedrun_plugins.deployers.hub_repository import Repository
    from embedrun_plugins.deployers.local import Local


class _Unpushed(Hub):
    """Writes all that would be pushed, and pushes nothing."""

    def _repository(self) -> Repository:
        from embedrun_plugins.rehearsal.repository import Nowhere

        return Nowhere(self.repo_id, "")


def unpushed(stage: Hub, folder: Path) -> Hub:
    tell(
        folder, f"nothing is pushed to {stage.repo_id}, and whether the token may write there is not asked", unsure=True
    )
    return standing_in(_Unpushed, stage)


def on_free_port(stage: Local, folder: Path) -> Local:
    tell(folder, "on a free port of this machine's own, and ended again")
    latency = stage.latency and stage.latency.briefly()
    return changed(stage, host="127.0.0.1", port=0, device="cpu", latency=latency)


def elsewhere(stage: Directory, folder: Path) -> Directory:
    tell(folder, f"{stage.path} is left as it is: exported into a scratch folder")
    return changed(stage, path=folder / "export")
