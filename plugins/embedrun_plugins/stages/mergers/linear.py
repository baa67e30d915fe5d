"""The weighted average of the base, the tuned model and any others."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context, Resolver
from embedrun.rehearsal import Rehearsal
from embedrun.stage import Stage
from embedrun.stages import Evaluator, Merger
from embedrun_plugins.stages.named_models import ModelName, commit_of, files_of, folder_of, missing_folder
from embedrun_plugins.stages.rehearsal.stand_ins import changed

if TYPE_CHECKING:
    from embedrun_plugins.stages.mergers.weight_average import Mix

_TOLERANCE = 1e-6


class Weighted(BaseModel):
    """A further model of the mix."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    model: ModelName
    """The model: a folder (from the recipe's, or the current one), or a hub id. Of the base's architecture."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; a run fixes it to a commit."""
    weight: float = Field(ge=0, le=1)
    """Its share in the mix."""


class Linear(Merger):
    """Average the weights of the base and the tuned model, which keeps of the base what tuning would make it forget.

    As LM-Cocktail's `mix_models` (Xiao et al. 2023), over every layer of the model, Dense ones too. Pooling,
    normalisation, prompts and length stay those of the tuned model. The shares must sum to 1.
    """

    type: Literal["linear"] = "linear"
    seeded: ClassVar[bool] = False
    base: float = Field(0.25, ge=0, le=1)
    """Share of the model that the recipe starts from."""
    tuned: float = Field(0.75, ge=0, le=1)
    """Share of the tuned model."""
    models: tuple[Weighted, ...] = ()
    """Further models of the same architecture, as in [{model: ./other, weight: 0.2}]."""

    def run(
        self,
        ctx: Context,
        data: RetrievalSet,  # noqa: ARG002  # needs none
        base: Model,
        tuned: Model,
        dev: Evaluator | None,  # noqa: ARG002
    ) -> Model:
        from embedrun_plugins.stages.mergers.weight_average import Mix

        mix = Mix.of(ctx, base, tuned)
        for other in ctx.track(self.models, "loading"):
            self._add(ctx, mix, other, base)
        mix.weigh(*self._shares())
        ctx.note("base", self.base)
        ctx.note("tuned", self.tuned)
        for number, other in enumerate(self.models, start=1):
            ctx.note(f"model {number}", other.weight)
        mix.save(ctx.out)
        return Model(ctx.out, tuned.settings)

    def rehearsal(self, rehearsal: Rehearsal) -> Linear:
        """Return the merger without its further models, whose architecture a stand-in may not have."""
        if not self.models:
            return self
        names = ", ".join(other.model for other in self.models)
        rehearsal.note(f"{names}: left out, so whether they fit is not known", unsure=True)
        rest = self.base + self.tuned
        base = self.base / rest if rest else 0.5
        return changed(self, base=base, tuned=1 - base, models=())

    def _shares(self) -> list[float]:
        return [self.base, self.tuned, *(other.weight for other in self.models)]

    def faults(self) -> Iterable[str]:
        shares = self._shares()
        if not math.isclose(sum(shares), 1, abs_tol=_TOLERANCE):
            summed = " + ".join(f"{share:g}" for share in shares)
            yield f"the shares of base, tuned and 'models' must sum to 1, but {summed} is {sum(shares):g}"
        for other in self.models:
            if missing := missing_folder(other.model):
                yield f"models: {missing}"

    def inputs(self) -> Iterable[Path]:
        return [file for other in self.models for file in files_of(other.model)]

    def resolve(self, resolver: Resolver) -> Stage:
        fixed = tuple(
            other.model_copy(update={"revision": commit_of(other.model, other.revision, offline=resolver.offline)})
            for other in self.models
        )
        return self if fixed == self.models else self.model_copy(update={"models": fixed})

    def fetch(self, resolver: Resolver) -> None:
        for other in self.models:
            folder_of(other.model, other.revision, offline=resolver.offline)

    def _add(self, ctx: Context, mix: Mix, other: Weighted, base: Model) -> None:
        trusted = base.settings.trust_remote_code
        folder = folder_of(other.model, other.revision, offline=ctx.offline, trust_remote_code=trusted)
        # A plain checkpoint does not say how its vectors are made.
        plain = not (folder / "modules.json").exists()
        mix.add(f"'{other.model}'", Model(folder, base.settings).load("cpu"), only_weights=plain)
