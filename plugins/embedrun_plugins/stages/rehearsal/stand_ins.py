"""What a stage's rehearsal tells of what was replaced, kept beside what it made up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

from embedrun.errors import UserError
from embedrun.stages import Stage
from embedrun_plugins.services import aws
from embedrun_plugins.services import openai as openai_server
from embedrun_plugins.services.credentials import secret

_FILE = "told.jsonl"


@dataclass(frozen=True)
class Told:
    """A sentence about a stage."""

    sentence: str
    unsure: bool = False
    """Whether it names something that the run itself may stop for; such are shown once more at the end."""


def tell(folder: Path, sentence: str, *, unsure: bool = False) -> None:
    """Say in one sentence what a rehearsal replaced; it is shown under the stage.

    `folder` is the one that `Stage.rehearsal` was given. `unsure` marks what the run itself may stop for, such as
    data that is not here or credentials that are not found.
    """
    told = Told(" ".join(sentence.split()), unsure)
    with (folder / _FILE).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(told), ensure_ascii=False) + "\n")


def told(folder: Path) -> list[Told]:
    """Return what was told, each sentence once."""
    return list(dict.fromkeys(_read(folder / _FILE)))


def _read(file: Path) -> Iterator[Told]:
    for line in file.read_text("utf-8").splitlines() if file.exists() else ():
        yield Told(**json.loads(line))


def tell_missing_aws(folder: Path, region: str | None, profile: str | None) -> None:
    try:
        aws.client("bedrock-runtime", region=region, profile=profile)
    except UserError as error:
        tell(folder, f"a run from here would stop: {error}", unsure=True)


def tell_missing_key(folder: Path, url: str | None, variable: str | None) -> None:
    named = variable or (openai_server.OPENAI_KEY if openai_server.is_openai(url) else None)
    try:
        if named:
            secret(named, url or openai_server.OPENAI)
    except UserError as error:
        tell(folder, f"a run from here would stop: {error}", unsure=True)


_S = TypeVar("_S", bound=Stage)


def changed(stage: _S, **values: Any) -> _S:
    """Return a copy with other values; what the stage worked out from the old ones is forgotten."""
    copy = stage.model_copy(update=values)
    remembered = vars(copy)
    for name in [name for name in remembered if name not in type(copy).model_fields]:
        del remembered[name]
    return copy


def standing_in(kind: type[_S], stage: Stage, **values: Any) -> _S:
    """Return a stage of a subclass with the same configuration, but for some values."""
    given = {name: getattr(stage, name) for name in type(stage).model_fields}
    made: Any = kind.model_construct(**{**given, **values})
    return cast("_S", made)
