"""The repository that a rehearsal pushes to, imported only when one does."""

from __future__ import annotations

from pathlib import Path

from embedrun_plugins.deployers.hub_repository import Pushed, Repository


class Nowhere(Repository):
    """Takes everything and keeps nothing."""

    def push(self, folder: Path, *, private: bool, revision: str | None, message: str) -> Pushed:  # noqa: ARG002
        return Pushed("", "", created=False)
