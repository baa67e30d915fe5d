"""A model written as TEI reads it, and judged as it was written."""

from __future__ import annotations

import shutil
from pathlib import Path

from embedrun.artifacts import Model
from embedrun.errors import UserError
from embedrun_plugins.services.tei import compatibility
from embedrun_plugins.services.tei.compatibility import Dtype


def export(
    model: Model, folder: Path, version: str | None = None, *, gpu: bool | None = None, dtype: Dtype | None = None
) -> Path:
    """Export a model for a version of TEI, None for whichever loads its architecture; return the folder.

    Raises UserError for a model that TEI could not serve, and leaves no folder then.
    """
    from embedrun_plugins.models import export as models

    models.export(model, folder)
    faults = (*compatibility.faults(folder, None, version, gpu=gpu, dtype=dtype), *compatibility.start_faults(folder))
    if faults:
        shutil.rmtree(folder)
        raise UserError(f"{model.path}: cannot be exported for TEI: {'; '.join(faults)}")
    return folder
