"""A model written as TEI reads it, and judged as it was written."""

from __future__ import annotations

from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun_plugins.services.tei import compatibility
from embedrun_plugins.services.tei.compatibility import Dtype


def exported(model: Model, folder: Path, version: str | None, *, gpu: bool, dtype: Dtype | None) -> Path:
    """Export a model for a version of TEI; return the folder.

    Raises UserError for a model that TEI could not serve.
    """
    from embedrun_plugins.models.export import export

    export(model, folder, "tei")
    found = compatibility.faults(folder, None, version, gpu=gpu, dtype=dtype)
    if faults := [*found, *compatibility.start_faults(folder)]:
        raise UserError(f"the model cannot be served: {'; '.join(faults)}")
    return folder
