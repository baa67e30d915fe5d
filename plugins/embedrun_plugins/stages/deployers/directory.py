"""Write the model into a folder that other servers and older libraries load."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar, Literal

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Deployer
from embedrun_plugins.services.tei import compatibility
from embedrun_plugins.services.tei.versions import NEWEST
from embedrun_plugins.stages.rehearsal.stand_ins import changed

log = logging.getLogger(__name__)
MARKER = ".embedrun-export.json"


class Directory(Deployer):
    """Writes the model into a folder, in the form that TEI, sentence-transformers 3.4 and transformers 4 read too."""

    type: Literal["directory"] = "directory"
    seeded = False
    takes_rerankers: ClassVar[bool] = True
    path: Path
    """Folder to write, relative to the current directory. An export that stands there already is replaced; any other
    folder is left alone, and the run stops."""
    target: Literal["portable", "tei"] = "portable"
    """What must be able to load it: "portable" keeps modules that only sentence-transformers knows, "tei" stops at
    whatever Text Embeddings Inference cannot serve."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.models.export import export
        from embedrun_plugins.services.tei.export import export as export_for_tei

        folder = Path.cwd() / self.path
        _refuse_others(folder)
        marker = {"made_by": "embedrun", "target": self.target, "run": ctx.run and ctx.run.id}
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        try:
            _prepare(scratch)
            if self.target == "tei" and self.deploys == "embedder":
                export_for_tei(model, scratch, NEWEST)
            else:
                export(model, scratch)
            (scratch / MARKER).write_text(json.dumps(marker) + "\n", "utf-8")
            if folder.exists():
                folder.rename(old)
            scratch.rename(folder)
        finally:
            for left in (scratch, old):
                shutil.rmtree(left, ignore_errors=True)
        return Endpoint(deployer=self.type, path=str(folder), details={"run": marker["run"]})

    def faults(self) -> Iterable[str]:
        if fault := _fault(Path.cwd() / self.path):
            yield f"path: {fault}"

    def refuses(self, model: Model) -> Iterable[str]:
        if self.target == "tei":
            yield from (f"target: {fault}" for fault in compatibility.faults(model.path, model.settings))

    def rehearsal(self, rehearsal: Rehearsal) -> Directory:
        return elsewhere(self, rehearsal)

    def delete(self, endpoint: Endpoint) -> None:
        """Delete the export; where another run has replaced it since, say so and leave that one alone."""
        folder = Path(endpoint.path or "")
        if not endpoint.path or not folder.exists():
            return
        _refuse_others(folder)
        made_by = _made_by(folder)
        if made_by != endpoint.details.get("run"):
            log.warning(
                "%s now holds the export of another run (%s), so it is not deleted", folder, made_by or "unknown"
            )
            return
        shutil.rmtree(folder)


def _prepare(scratch: Path) -> None:
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"deployer.path: {scratch.parent}: cannot be written: {error.strerror}") from error


def _refuse_others(folder: Path) -> None:
    """Replace and delete only what this deployer made."""
    if fault := _fault(folder):
        raise UserError(f"deployer.path: {fault}")


def _fault(folder: Path) -> str | None:
    if Path.cwd().is_relative_to(folder.resolve()):
        return f"{folder} is the current folder, or holds it; name a folder of its own for the model"
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        return None
    if folder.is_symlink() or (folder.exists() and not (folder / MARKER).is_file()):
        return f"{folder} exists and was not made by this deployer; choose another path, or move it away"
    return None


def _made_by(folder: Path) -> str | None:
    """Return the id of the run that an export is of; None for one that was made outside any."""
    marker = folder / MARKER
    try:
        run = json.loads(marker.read_text("utf-8")).get("run") if marker.is_file() else None
    except (ValueError, AttributeError):
        return None
    return str(run) if run else None


def elsewhere(stage: Directory, rehearsal: Rehearsal) -> Directory:
    rehearsal.note(f"{stage.path} is not changed: exported into a scratch folder")
    return changed(stage, path=rehearsal.folder / "export")
