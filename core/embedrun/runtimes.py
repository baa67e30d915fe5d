"""What a runtime is given to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Job:
    """One run of one recipe, to be carried out here or by the same command line elsewhere."""

    here: Callable[[], int]
    """Runs it in this process and returns the exit code."""
    arguments: Sequence[str]
    """Command line after `embedrun`, with the lock file in place of the recipe."""
    inputs: Sequence[Path]
    """Local files and folders that the recipe names."""
    store: Path
    run_folder: Path
    environment: Mapping[str, str]
    """Variables that the recipe names, and nothing else."""
