"""What a container is given beside files: variables by name, a network where one is needed, the caller's user."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from embedrun.context import Resolver
from embedrun.errors import UserError
from embedrun.models import fetch
from embedrun.stages import Deployer, Runtime, Stage
from embedrun_plugins.embedders.servers import is_local

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from embedrun.runtimes import Job

Network = Literal["none", "bridge", "host"]
HOME = "/tmp/home"  # noqa: S108  # a tmpfs of the container's own
HARMLESS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TOKENIZERS_PARALLELISM"),
    *("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "CUBLAS_WORKSPACE_CONFIG", "NO_COLOR"),
)
"""Variables that are passed on wherever they are set: they hold no secret, and change speed, rounding or colours."""


def stages(job: Job) -> Iterator[Stage]:
    """Yield the recipe's stages that run in the container."""
    for _, stage in job.plan.recipe.stages():
        if not isinstance(stage, (Deployer, Runtime)):
            yield stage


def download(job: Job) -> list[Path]:
    """Fetch the model and what the stages name on the hub; return the caches that hold it, where there is any.

    Raises UserError where something cannot be had.
    """
    from pathlib import Path

    from huggingface_hub import constants

    fetching = [stage for stage in stages(job) if type(stage).fetch is not Stage.fetch]
    if job.plan.base.path and not fetching:
        return []
    fetch(job.plan.base, offline=job.offline)
    for stage in fetching:
        stage.fetch(Resolver(job.offline))
    cache = Path(constants.HF_HUB_CACHE)
    caches = [cache, Path(os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME) / "datasets")]
    return [path.expanduser().resolve() for path in caches if path.expanduser().is_dir()]


def network(job: Job, asked: Network | None) -> Network:
    """Return the network that was asked for, or the least that the stages need.

    What a stage reaches on this machine itself takes the machine's own network: a bridge does not lead there.
    """
    reached = [url for stage in stages(job) for url in stage.reaches()]
    if asked:
        if asked == "none" and reached:
            job.console.say(
                f"warning: runtime.network: none, but the recipe talks to {', '.join(sorted(set(reached)))}"
            )
        return asked
    if any(is_local(url) for url in reached):
        return "host"
    return "bridge" if reached else "none"


def variables(job: Job, caches: Iterable[Path], cpus: float | None) -> dict[str, str]:
    """Return what the container's processes find in their environment; no secret is among it."""
    given = {name: os.environ[name] for name in HARMLESS if name in os.environ}
    if cpus is not None:
        given.setdefault("OMP_NUM_THREADS", str(max(1, int(cpus))))
    if sys.stderr.isatty():
        size = os.get_terminal_size(sys.stderr.fileno())
        given |= {"FORCE_COLOR": "1", "TERM": os.environ.get("TERM", "xterm"), "COLUMNS": str(size.columns)}
    # Some libraries ask for the user's name, which need not be known in the image.
    given |= {"HOME": HOME, "USER": "embedrun", "LOGNAME": "embedrun", "HF_HUB_OFFLINE": "1"}
    names = {"hub": "HF_HUB_CACHE", "datasets": "HF_DATASETS_CACHE"}
    given |= {names[path.name]: str(path) for path in caches if path.name in names}
    return given | {"EMBEDRUN_MODELS": json.dumps(_installed(job))}


def _installed(job: Job) -> list[Mapping[str, str]]:
    """Describe the copies of hub models that packages bring here, and that the image need not have."""
    inputs = set(job.inputs)
    copies = job.plan.registry.local_models()
    return [
        {"id": copy.id, "path": str(copy.path.resolve()), "sha256": copy.sha256}
        for copy in copies
        if copy.path.resolve() in inputs
    ]


def secrets(job: Job, named: Iterable[str]) -> dict[str, str]:
    """Return the variables that the recipe's stages read, where they are set, and those that the runtime names.

    Raises UserError where one that the runtime names is not set.
    """
    for name in named:
        if name not in os.environ:
            raise UserError(f"runtime.env: the environment variable {name} is not set")
    names = {*named, *(name for stage in stages(job) for name in stage.variables())}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


def user(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that make what the container writes the caller's own."""
    security = " ".join(info.get("SecurityOptions") or ())
    if "name=rootless" in security:  # there, root is whoever started the engine
        return {"user": "0:0"}
    options: dict[str, Any] = {"user": f"{os.getuid()}:{os.getgid()}", "group_add": [str(g) for g in os.getgroups()]}
    return options | ({"userns_mode": "host"} if "name=userns" in security else {})
