"""The sets that `general` judges by: sources, named shortly or in full."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from embedrun.artifacts import Split
from embedrun.context import Context
from embedrun.registry import Registry
from embedrun.stages import Source

if TYPE_CHECKING:
    from embedrun_plugins.stages.evaluators.retrieval_task import Task

_NANOBEIR = re.compile(r"Nano[A-Z]\w+")
_PATH = re.compile(r"[~./]|.*[/\\]|[A-Za-z]:")
_NAMED_BY = ("subset", "path", "dataset")
"""Keys of a source that tell what it reads, by which a set is named."""


def _source_of(value: Any) -> Any:
    """Return a source for its short form: a folder's path, a name of NanoBEIR, or a type."""
    if isinstance(value, str) and _NANOBEIR.fullmatch(value):
        return {"type": "nanobeir", "subset": value}
    if isinstance(value, str) and _PATH.match(value):
        return {"type": "beir", "path": value}
    return value


def _name_of(source: Any) -> Any:
    """Name a set by what its source reads, else by the source's type."""
    if not isinstance(source, Mapping):
        return getattr(source, "type", source)
    known = next((source[key] for key in _NAMED_BY if isinstance(source.get(key), (str, Path))), source.get("type"))
    return re.sub(r"[^\w.-]", "-", Path(str(known)).name)


class GeneralSet(BaseModel):
    """A set to judge by: a source, or {name, source, split}.

    A source may be given by a folder's path, a name of NanoBEIR's sets such as NanoSciFact, or its type alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    name: str = Field(pattern=r"^\w[\w.-]*$")
    """What its metric begins with; by default the folder's, subset's or data set's name, or the source's type."""
    source: Source
    """What brings the set: everyday, nanobeir, beir or any other source."""
    split: Split = "test"
    """Whose queries are asked."""

    @model_validator(mode="before")
    @classmethod
    def _spelt_out(cls, value: Any, info: ValidationInfo) -> Any:
        fields = dict(value) if isinstance(value, Mapping) and "source" in value else {"source": value}
        source = _source_of(fields["source"])
        if isinstance(source, str):
            source = {"type": source}
        name = _name_of(source)
        if not info.context and isinstance(source, Mapping):  # made by a program, not read from a recipe
            registry = Registry()
            source = registry.find(Source, source).model_validate(source, context=registry.validation_context())
        return {"name": name, **fields, "source": source}


def task_of(part: GeneralSet, ctx: Context, *, graded: bool) -> Task:
    """Read a set and return its task. Raises DataError where it cannot be read or has no judged query."""
    from embedrun_plugins.stages.evaluators.retrieval_task import Task

    with TemporaryDirectory() as scratch:
        folders = [Path(scratch, name) for name in ("out", "state")]
        for folder in folders:
            folder.mkdir()
        # What a source says of its data is of no interest beside the scores.
        silent = replace(ctx, out=folders[0], state=folders[1], on_note=_ignore, on_warning=_ignore, on_event=_ignore)
        return Task.of(part.source.run(silent), part.split, graded=graded, ignore_identical_ids=None)


def _ignore(*_: object) -> None:
    """Do nothing with what a source reports."""
