"""What is being deployed, written down before it is proven, so that `embedrun delete` finds it after a crash too.

And what was deployed before, removed by its own run's record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedrun import deployments
from embedrun.artifacts import Endpoint
from embedrun.context import Context
from embedrun.stages import Deployer
from embedrun_plugins.services.tei import container
from embedrun_plugins.services.tei.options import remove_export

_RECIPE, _RUN, _SLOT = "embedrun.recipe", "embedrun.run", "embedrun.slot"


def labels(ctx: Context, *, owner: bool = False) -> dict[str, str]:
    """Return what a container is found by: by later runs of the recipe (`owner`), and by its user."""
    marks = {container.LABEL: container.KIND, _SLOT: ctx.out.absolute().parent.name}
    marks[_RECIPE] = str((ctx.run.folder if ctx.run else ctx.out.absolute()).parent)
    return marks if owner else marks | {_RUN: ctx.run.id if ctx.run else ""}


@contextmanager
def written_down(ctx: Context, deployer: Deployer, endpoint: Endpoint) -> Iterator[None]:
    """Keep an endpoint's record in the run's folder from now on; take it away where the block fails.

    The engine writes it again, in full, when the deployer returns.
    """
    file = deployments.write(ctx.out.parent, deployer, endpoint)
    try:
        yield
    except BaseException:
        file.unlink(missing_ok=True)
        raise


def retire(client: Any, earlier: Any, warn: Callable[[str], None]) -> str:
    """Remove the container of an earlier run, and what was exported for it; return that run's name.

    What cannot be removed is said, and that run's record keeps it.
    """
    from docker.errors import DockerException

    run = str(earlier.labels.get(_RUN) or earlier.short_id)
    try:
        container.remove(client, earlier.id)
        file = _record(earlier.labels)
        details = _details(file)
        if details.get("container") == earlier.id:
            remove_export(Path(str(details.get("model"))))
            deployments.delete(file)
    except (DockerException, OSError) as error:
        warn(f"left from before: container {earlier.name}: {error}; `embedrun delete {run}` tries again")
    return run


def _record(marks: Mapping[str, str]) -> Path:
    """Return where the run of a container describes it."""
    run = Path(marks.get(_RECIPE, "")) / marks.get(_RUN, "").rpartition("/")[2]
    return deployments.folder(run, marks.get(_SLOT, "")) / deployments.ENDPOINT


def _details(file: Path) -> Mapping[str, Any]:
    try:
        return deployments.read(file).details
    except (OSError, ValueError, KeyError, TypeError):
        return {}  # removed by hand, or damaged: the container is gone all the same
