"""What a runtime is given to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedrun.console import Console
    from embedrun.plan import Plan
    from embedrun.store import Store


@dataclass(frozen=True)
class Job:
    """One run of one recipe, to be carried out here or by the same command line elsewhere.

    Elsewhere, `embedrun ARGUMENTS` does everything but deploying, which is done here when the runtime comes back, where
    the credentials and ports are that it takes. It needs the files below `inputs`, `store` and `run_folder` at the same
    paths, writes into the latter two only, and writes how it ended into the record in `run_folder`.
    """

    here: Callable[[], int]
    """Runs it in this process, deployers too, and returns the exit code."""
    arguments: Sequence[str]
    """Command line after `embedrun`, with the lock file in place of the recipe."""
    plan: Plan
    """What will be run; its stages say what they download, reach and read from the environment."""
    inputs: Sequence[Path]
    """Local files and folders that the run reads: the data, and the model where it is here."""
    store: Store
    run_folder: Path
    console: Console
    offline: bool = False
    """True where nothing may be downloaded."""
