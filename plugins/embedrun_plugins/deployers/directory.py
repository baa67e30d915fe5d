"""Write the model into a folder that other servers and older libraries load."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Literal

from embedrun.artifacts import Endpoint, Model
from embedrun.context import Context
from embedrun.errors import UserError
from embedrun.stages import Deployer

MARKER = ".embedrun-export.json"


class Directory(Deployer):
    """Writes the model into a folder, in the form that TEI, sentence-transformers 3.4 and transformers 4 read too."""

    type: Literal["directory"] = "directory"
    seeded = False
    path: Path
    """Folder to write, relative to the current directory. An export that stands there already is replaced; any other
    folder is left alone, and the run stops."""
    target: Literal["portable", "tei"] = "portable"
    """What must be able to load it: "portable" keeps modules that only sentence-transformers knows, "tei" stops at
    whatever Text Embeddings Inference cannot serve."""

    def run(self, ctx: Context, model: Model) -> Endpoint:
        from embedrun_plugins.exporting import export

        folder = Path.cwd() / self.path
        _refuse_others(folder)
        scratch = folder.with_name(f".{folder.name}.{os.getpid()}.part")
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        try:
            _prepare(scratch)
            export(model, scratch, self.target)
            (scratch / MARKER).write_text(json.dumps({"made_by": "embedrun", "target": self.target}) + "\n", "utf-8")
            if folder.exists():
                folder.rename(old)
            scratch.rename(folder)
        finally:
            for left in (scratch, old):
                shutil.rmtree(left, ignore_errors=True)
        ctx.note("folder", str(self.path))
        return Endpoint(deployer=self.type, path=str(folder))

    def delete(self, endpoint: Endpoint) -> None:
        folder = Path(endpoint.path or "")
        if not endpoint.path or not folder.exists():
            return
        _refuse_others(folder)
        shutil.rmtree(folder)


def _prepare(scratch: Path) -> None:
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"deployer.path: {scratch.parent}: cannot be written: {error.strerror}") from error


def _refuse_others(folder: Path) -> None:
    """Replace and delete only what this deployer made."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if folder.is_symlink() or (folder.exists() and not (folder / MARKER).is_file()):
        raise UserError(
            f"deployer.path: {folder} exists and was not made by this deployer; choose another path, or move it away"
        )
