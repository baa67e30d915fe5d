"""What a stage is given beside its data, and how its fields are marked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BeforeValidator, ValidationInfo

from embedrun.errors import PluginError

if TYPE_CHECKING:
    from embedrun.artifacts import Model


class Unkeyed:
    """Marks a field that cannot change the result, such as a path or a number of workers: `Annotated[int, Unkeyed]`.

    It is left out of the stage's key, so changing it does not run the stage again.
    """


class FromCommandLine(str):
    """Text given by `--set`: a path in it is meant from the current folder, not from the recipe's."""

    __slots__ = ()


def candidates(value: str | Path, info: ValidationInfo) -> list[Path]:
    """Return where a path of a recipe may lead: from the recipe's folder, unless `--set` gave it, then from here.

    Raises ValueError where the system takes it for no path.
    """
    try:
        path = Path(value).expanduser()
        folder = (info.context or {}).get("folder")
        paths = [path] if folder is None or isinstance(value, FromCommandLine) else [folder / path, path]
        any(path.exists() for path in paths)
    except (OSError, RuntimeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise ValueError(f"'{str(value)[:60]}' cannot be a path: {reason}") from error
    return paths


def _resolve_path(value: Any, info: ValidationInfo) -> Any:
    if not isinstance(value, (str, Path)) or not str(value):
        return value
    paths = candidates(value, info)
    return next((path for path in paths if path.exists()), paths[-1]).resolve()


InputPath = Annotated[Path, BeforeValidator(_resolve_path), Unkeyed]
"""A file or folder that a stage reads: from the recipe's folder if it is there, else from the current one.

The path itself is not part of the stage's key; name it in `inputs()`, so that its content is.
"""

_T = TypeVar("_T")


def _ignore(*_: object) -> None:
    """Do nothing with what a stage reports."""


@dataclass(frozen=True)
class RunRef:
    """Which run it is, by its folder: RUNS/NAME/TIME."""

    folder: Path

    @property
    def name(self) -> str:
        """The recipe's name."""
        return self.folder.parent.name

    @property
    def id(self) -> str:
        """What tells the run from every other: NAME/TIME."""
        return f"{self.name}/{self.folder.name}"


@dataclass(frozen=True)
class Context:
    """What a stage may know of the run, and how it reports."""

    out: Path
    """Empty folder for the artifact. Published, and from then on immutable, when `run` returns."""
    state: Path
    """Folder that survives a kill, for checkpoints: the next run of the same step finds it as it was left."""
    answers: Path | None = None
    """Folder that all runs of the store share, for what outside services answered, by the hash of the request."""
    run: RunRef | None = None
    """The run that a deployer deploys for; what is kept in the store must not depend on it. None outside of any."""
    model: Model | None = None
    """The model that the recipe starts from, for a stage whose `uses_model()` says that it wants it."""
    seed: int = 42
    device: str | None = None
    """torch device asked for; None lets torch choose."""
    offline: bool = False
    """True where nothing may be downloaded."""
    on_note: Callable[[str, object], None] = field(default=_ignore, repr=False)
    on_warning: Callable[[str], None] = field(default=_ignore, repr=False)
    on_progress: Callable[[str, float, float | None], None] = field(default=_ignore, repr=False)
    on_event: Callable[[str, Mapping[str, Any]], None] = field(default=_ignore, repr=False)

    def note(self, name: str, value: object) -> None:
        """Report a count or a figure (JSON); it is kept with the artifact and shown again when that is reused."""
        try:
            json.dumps(value)
        except (TypeError, ValueError) as error:
            raise PluginError(f"the note '{name}' is not JSON: {error}") from error
        self.on_note(name, value)

    def warn(self, message: str) -> None:
        """Warn the user; kept and shown again like a note."""
        self.on_warning(message)

    def progress(self, label: str, done: float, total: float | None = None) -> None:
        """Report how far the stage is."""
        self.on_progress(label, done, total)

    def event(self, name: str, **values: Any) -> None:
        """Write an event, such as a training loss, to the run's log."""
        self.on_event(name, values)

    def track(self, items: Iterable[_T], label: str, total: int | None = None) -> Iterator[_T]:
        """Yield the items, reporting progress."""
        if total is None and isinstance(items, Sequence):
            total = len(items)
        done = 0
        for done, item in enumerate(items):
            self.progress(label, done, total)
            yield item
        self.progress(label, done + 1 if total is None else total, total)


@dataclass(frozen=True)
class Resolver:
    """What `Stage.resolve` may use to fix what floats."""

    offline: bool = False
