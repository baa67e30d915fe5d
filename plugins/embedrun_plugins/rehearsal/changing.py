"""Copies of a stage with other values."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from embedrun.stages import Stage

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
