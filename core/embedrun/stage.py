"""What all stages have in common: configuration, what it depends on, and what it says of itself.

A plugin's stage is one class below one of the kinds in `stages`: its fields are the recipe's keys, its `run` does the
work. Heavy imports belong inside `run`: these classes are loaded whenever a recipe is only checked.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from pydantic import BaseModel, ModelWrapValidatorHandler, ValidationInfo, model_validator

from embedrun.artifacts import RetrievalSet
from embedrun.context import Resolver
from embedrun.errors import UserError
from embedrun.model_settings import STRICT
from embedrun.rehearsal import Rehearsal


class Stage(BaseModel, ABC):
    """Configuration and behaviour of one stage: fields are recipe keys, their docstrings the documentation."""

    model_config = STRICT
    kind: ClassVar[str] = ""
    """The recipe's key. Set by the kind, not by plugins."""
    version: ClassVar[int] = 1
    """Raise it when the same configuration and inputs give another result than before."""
    seeded: ClassVar[bool] = True
    """False where the result does not depend on the seed."""
    packages: ClassVar[Mapping[str, str]] = {}
    """Optional modules that `run` imports, and the extra of embedrun that installs each."""

    type: str

    @model_validator(mode="wrap")
    @classmethod
    def _narrow(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Validate a mapping given for a kind as the installed stage that its `type` names."""
        if isinstance(value, str) and "type" in cls.model_fields:
            value = {"type": value}
        if isinstance(value, Stage) or not cls.__abstractmethods__:
            return handler(value)
        find = (info.context or {}).get("find_stage")
        if find is None:
            raise UserError(f"{cls.kind}: a stage can only be chosen by type through a Registry")
        return cast("Self", find(cls, value).model_validate(value, context=info.context))

    def needs(self) -> Mapping[str, str]:
        """Name the optional modules that this configuration imports, and the extra that installs each."""
        return self.packages

    def uses_model(self) -> bool:
        """Say whether a source, generator or filter wants the model, as `ctx.model`; its key then depends on it."""
        return False

    def inputs(self) -> Iterable[Path]:
        """Return outside files and folders whose content the result depends on; they are hashed into the key."""
        return ()

    def resolve(self, resolver: Resolver) -> Stage:
        """Return a copy in which everything that floats, such as a hub revision, is fixed."""
        return self

    def faults(self) -> Iterable[str]:
        """Say what is wrong with this configuration beyond its fields, without loading anything heavy."""
        return ()

    def fetch(self, resolver: Resolver) -> None:
        """Download into the hub's cache what `run` would, so that it can run elsewhere without a network.

        Called after `resolve`. Raises UserError where that fails.
        """

    def reaches(self) -> Iterable[str]:
        """Return the URLs of what `run` talks to, the hub's cached files aside; without any it gets no network."""
        return ()

    def variables(self) -> Iterable[str]:
        """Name the environment variables that `run` may read; elsewhere it sees no others."""
        return ()

    def rehearsal(self, rehearsal: Rehearsal) -> Stage:
        """Return what `embedrun run --rehearse` runs instead: the same values, little work, nothing outside touched.

        `rehearsal` holds an empty folder of this stage's own, for what it makes up or would have written elsewhere, and
        is told by `note` what is replaced.
        """
        return self

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Say what running would take (steps, calls, cost), as far as the data, if known already, tells."""
        return {}
