"""What a container is given beside files: variables by name, a network where one is needed, the caller's user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from embedrun.context import Resolver
from embedrun.stage import Stage
from embedrun_plugins.models.base_models import fetch
from embedrun_plugins.models.local_copies import GIVEN
from embedrun_plugins.services.addresses import is_local

if TYPE_CHECKING:
    from pathlib import Path

    from embedrun import LocalModel
    from embedrun.job import Job

Network = Literal["none", "bridge", "host"]
HOME = "/tmp/home"  # noqa: S108  # a tmpfs of the container's own
HARMLESS = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM",
    "PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG", "NO_COLOR",
)  # fmt: skip
"""Variables that are passed on wherever they are set: they hold no secret, and change speed, rounding or colours."""


def download(job: Job) -> dict[str, Path]:
    """Fetch the model and what the stages name on the hub; return the caches that hold it, by the variable of each.

    Raises UserError where something cannot be had.
    """
    from pathlib import Path

    from huggingface_hub import constants

    fetching = [stage for stage in job.stages if type(stage).fetch is not Stage.fetch]
    if job.base.path and not fetching:
        return {}
    fetch(job.base, offline=job.offline)
    for stage in fetching:
        stage.fetch(Resolver(job.offline))
    datasets = os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets"
    caches = {"HF_HUB_CACHE": Path(constants.HF_HUB_CACHE), "HF_DATASETS_CACHE": Path(datasets)}
    return {name: path.expanduser().resolve() for name, path in caches.items() if path.expanduser().is_dir()}


def copies(job: Job) -> list[LocalModel]:
    """Return the copies of hub models that packages bring here, any of which a stage may name by its hub id."""
    return [replace(copy, path=copy.path.resolve()) for copy in job.copies if copy.path.is_dir()]


def network(job: Job, wanted: Network | None) -> Network:
    """Return the network that was asked for, or the least that the stages need.

    What a stage reaches on this machine itself takes the machine's own network: a bridge does not lead there.
    """
    reached = [url for stage in job.stages for url in stage.reaches()]
    if wanted:
        if wanted == "none" and reached:
            job.console.say(
                f"warning: runtime.network: none, but the recipe talks to {', '.join(sorted(set(reached)))}"
            )
        return wanted
    if any(is_local(url) for url in reached):
        return "host"
    return "bridge" if reached else "none"


def variables(caches: Mapping[str, Path], models: Iterable[LocalModel], cpus: float | None) -> dict[str, str]:
    """Return what the container's processes find in their environment; no secret is among it."""
    environment = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    if cpus is not None:
        environment.setdefault("OMP_NUM_THREADS", str(max(1, int(cpus))))
    if sys.stderr.isatty():
        size = os.get_terminal_size(sys.stderr.fileno())
        environment |= {"FORCE_COLOR": "1", "TERM": os.environ.get("TERM", "xterm"), "COLUMNS": str(size.columns)}
    # Some libraries ask for the user's name, which need not be known in the image.
    environment |= {"HOME": HOME, "USER": "embedrun", "LOGNAME": "embedrun", "HF_HUB_OFFLINE": "1"}
    environment |= {name: str(path) for name, path in caches.items()}
    return environment | {
        GIVEN: json.dumps([{"id": model.id, "path": str(model.path), "sha256": model.sha256} for model in models])
    }


def secrets(job: Job, named: Iterable[str]) -> dict[str, str]:
    """Return the variables that the recipe's stages read and those that the runtime names, where they are set."""
    names = {*named, *(name for stage in job.stages for name in stage.variables())}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


def user(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that make what the container writes the caller's own."""
    security = " ".join(info.get("SecurityOptions") or ())
    if "name=rootless" in security:  # there, root is whoever started the engine
        return {"user": "0:0"}
    options: dict[str, Any] = {"user": f"{os.getuid()}:{os.getgid()}", "group_add": [str(g) for g in os.getgroups()]}
    return options | ({"userns_mode": "host"} if "name=userns" in security else {})
