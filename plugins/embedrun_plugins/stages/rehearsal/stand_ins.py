"""What the rehearsals of many stages share: copies of a stage with other values, and credentials that are missing."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from embedrun.errors import UserError
from embedrun.rehearsal import Rehearsal
from embedrun.stage import Stage
from embedrun_plugins.services import aws
from embedrun_plugins.services import openai as openai_server
from embedrun_plugins.services.credentials import secret


def note_missing_aws(rehearsal: Rehearsal, region: str | None, profile: str | None) -> None:
    try:
        aws.client("bedrock-runtime", region=region, profile=profile)
    except UserError as error:
        rehearsal.note(f"a run from here would stop: {error}", unsure=True)


def note_missing_key(rehearsal: Rehearsal, url: str | None, variable: str | None) -> None:
    named = variable or (openai_server.OPENAI_KEY if openai_server.is_openai(url) else None)
    try:
        if named:
            secret(named, url or openai_server.OPENAI)
    except UserError as error:
        rehearsal.note(f"a run from here would stop: {error}", unsure=True)


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
    configuration = {name: getattr(stage, name) for name in type(stage).model_fields}
    copy: Any = kind.model_construct(**{**configuration, **values})
    return cast("_S", copy)
