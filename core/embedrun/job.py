"""What a runtime is given to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.console import Console
from embedrun.context import RunRef
from embedrun.hookspecs import LocalModel
from embedrun.model_settings import BaseModelRef
from embedrun.stage import Stage
from embedrun.store import Store, Stored


@dataclass(frozen=True)
class Forecast:
    """A step of a run, with the key of its result and that result, as far as they are known before running."""

    slot: str
    kind: str
    """Kind of its stage, as the recipe's key says it."""
    key: str | None
    """None for what the store does not keep, and while it depends on what is not made yet."""
    stored: Stored | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of one recipe, to be carried out here or by the same command line elsewhere.

    Elsewhere, `embedrun ARGUMENTS` does everything but deploying, which is done here when the runtime comes back, where
    the credentials and ports are that it takes. It needs the files below `inputs`, `store` and `run_folder` at the same
    paths, writes into the latter two only, and writes how it ended into the record in `run_folder`.
    """

    here: Callable[[], int]
    """Runs it in this process, deployers too, and returns the exit code."""
    forecast: Callable[[], Iterable[Forecast]]
    """Looks up which steps, deployers aside, are done already, and which are to be run."""
    digest: Callable[[Sequence[LocalModel], str | None], str]
    """Digests all that decides the result: recipe, models, versions, every input file. It is given the copies of hub
    models that are used there, and the image, if one is named: equal digests are the same work."""
    recipe: Mapping[str, Any]
    """The recipe as JSON, with every default written out and everything that floats fixed."""
    stages: Sequence[Stage]
    """The recipe's stages that run elsewhere; they say what they download, reach and read from the environment."""
    base: BaseModelRef
    copies: Sequence[LocalModel] = ()
    """Copies of hub models that packages bring here, any of which a stage may name by its hub id."""
    inputs: Sequence[Path]
    """Local files and folders that the run reads: the data, and the model where it is here."""
    store: Store
    run_folder: Path
    console: Console
    until: str | None = None
    """Slot of the last step, where the run is to end before the recipe does."""
    device: str | None = None
    offline: bool = False
    """True where nothing may be downloaded."""

    @property
    def run(self) -> RunRef:
        return RunRef(self.run_folder)

    @property
    def arguments(self) -> list[str]:
        """Command line after `embedrun`, with the lock file in place of the recipe."""
        words = ["run", str(self.run_folder / "recipe.lock.json"), "--set", "deployer=[]", "--set", "runtime=null"]
        options = {"--store": self.store.root, "--record": self.run_folder, "--until": self.until}
        options |= {"--device": self.device}
        return words + [word for name, value in options.items() if value for word in (name, str(value))]

    def left(self) -> list[Forecast]:
        """Return the steps whose results are not in the store, as far as is known before running."""
        return [step for step in self.forecast() if not step.stored]
