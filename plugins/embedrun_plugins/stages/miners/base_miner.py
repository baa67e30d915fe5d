"""What all miners are told: which ranks, how many, and how false negatives are kept out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.errors import DataError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Miner
from embedrun_plugins.stages.miners.audit import Audit, audit
from embedrun_plugins.stages.miners.scorers import GuardChoice
from embedrun_plugins.stages.rehearsal.lenient import lenient_miner
from embedrun_plugins.stages.rehearsal.stand_in_models import model_for
from embedrun_plugins.stages.rehearsal.stand_ins import changed

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.ranking import Candidates

_REHEARSED = 2
"""Negatives of a query in a rehearsal."""
_LIMITS = ("min_score", "max_score", "absolute_margin", "relative_margin")


def _from_text(value: Any) -> Any:
    """Read a range as FlagEmbedding's script takes it, "3-200"."""
    match = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value) if isinstance(value, str) else None
    return (int(match[1]), int(match[2])) if match else value


def _guard_of(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


Ranks = Annotated[
    tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]],
    BeforeValidator(_from_text, json_schema_input_type=tuple[int, int] | str),
]


class BaseMiner(Miner, ABC):
    """What the miners share.

    The queries of the train split search its documents (those whose metadata name it, else the whole corpus), each
    distinct text once. Never a negative is what equals, but for case, white space and punctuation, or nearly equals a
    passage that is relevant for the query in any split, or the query itself.
    """

    version: ClassVar[int] = 2
    range: Ranks = (3, 200)
    """Ranks to take negatives from, as in FlagEmbedding's range_for_sampling: [3, 200] or "3-200" passes over the
    first 3 passages of a search, which may be answers that nobody labelled, and takes the 4th to the 200th."""
    per_query: int = Field(5, ge=1)
    """Negatives for each query, or as many as there are."""
    sampling: Literal["random", "top"] = "random"
    """random: drawn from the ranks, by the seed and the query alone, so that other queries do not change them.
    top: the first ones."""
    near_equal: float | None = Field(0.9, gt=0, le=1)
    """A passage that is this similar in its letters to one of the query's answers is no negative, unless their digits
    differ: the share of all runs of five letters that both hold. null compares no further than case, white space and
    punctuation."""
    use_held_out: bool = False
    """Whether passages that are relevant for a question held out (dev, test) are searched too. As negatives they
    would be trained on, and pushed away from questions."""
    keep_given: bool = True
    """Whether the set's own negatives are kept, before those mined, in addition to them."""
    guard: Annotated[
        GuardChoice | None, BeforeValidator(_guard_of, json_schema_input_type=str | GuardChoice | None)
    ] = None
    """A cross-encoder that keeps out what it takes for an answer, as in {model: cross-encoder/ms-marco-MiniLM-L6-v2,
    absolute_margin: 0.1}, or just its name. Another passage is drawn in the place of each that it refuses."""
    audit: Audit | None = None
    """Judges a sample of the mined negatives, as in {sample: 100, model: cross-encoder/ms-marco-MiniLM-L6-v2,
    max_share: 0.1}: reports the share of false negatives with its interval and shows the worst, in audit.json too."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once."""

    @abstractmethod
    def candidates(self, ctx: Context, pool: Pool, model: Model) -> Iterator[Candidates]:
        """Yield the passages of the ranks asked for, block by block of the pool's queries."""

    def run(self, ctx: Context, data: RetrievalSet, model: Model) -> RetrievalSet:
        """Mine negatives for the train split and write the set with them below `ctx.out`.

        Raises DataError where there is nothing to mine for, or no query has a negative; RequirementError where the
        audit finds too many false ones.
        """
        from embedrun_plugins.stages.miners import mining_run
        from embedrun_plugins.stages.miners.candidate_pool import Pool
        from embedrun_plugins.stages.miners.guard import Guard
        from embedrun_plugins.stages.miners.selection import Chooser

        given = data.negatives() if self.keep_given else []
        pool = Pool.of(data, use_held_out=self.use_held_out, given=given)
        chooser = Chooser(
            pool,
            per_query=self.per_query,
            shuffled=self.sampling == "random",
            seed=ctx.seed,
            near_equal=self.near_equal,
            guard=Guard(pool, self.guard, self.guard.load(ctx, "negatives.guard")) if self.guard else None,
        )
        mined = [chosen for block in self.candidates(ctx, pool, model) for chosen in chooser.choose(block)]
        mining_run.note(ctx, chooser, mined)
        negatives = [negative for chosen in mined for negative in chosen]
        if not negatives:
            raise DataError(mining_run.nothing(chooser, *self.range))
        if self.audit:
            audit(ctx, self.audit, pool, negatives, self.audit.load(ctx, model))
        return mining_run.write(ctx, data, chooser.guard, given, negatives)

    def rehearsal(self, rehearsal: Rehearsal) -> Miner:
        """Mine a few negatives, with limits that are loosened where they leave none."""
        models = {name: config for name in ("guard", "audit") if (config := getattr(self, name))}
        for name, config in models.items():
            if config.model:
                model = model_for(f"{name}.model", config.model, config.revision, rehearsal, scores=True)
                models[name] = config.model_copy(update={"model": model, "revision": None})
        if self.audit:
            models["audit"] = models["audit"].model_copy(update={"max_share": None})
        per_query = min(self.per_query, _REHEARSED)
        if per_query < self.per_query:
            rehearsal.note(f"per_query: {per_query} in place of {self.per_query}")
        few = changed(self, per_query=per_query, **models)
        free = {name: None for name in (*_LIMITS, "guard") if name in type(self).model_fields}
        if self.guard and self.guard.teach:
            free.pop("guard")
        return lenient_miner(few, changed(few, range=(0, self.range[1]), **free))

    def inputs(self) -> Iterable[Path]:
        return [path for config in (self.guard, self.audit) if config for path in config.files()]

    def resolve(self, resolver: Resolver) -> Self:
        models = {name: config for name in ("guard", "audit") if (config := getattr(self, name))}
        return self.model_copy(update={name: config.resolved(resolver) for name, config in models.items()})

    def fetch(self, resolver: Resolver) -> None:
        for config in (self.guard, self.audit):
            if config:
                config.fetch(resolver)

    def columns_given(self) -> frozenset[Column]:
        return frozenset({"negative", "teacher_score"} if self.guard and self.guard.teach else {"negative"})

    def faults(self) -> Iterable[str]:
        low, high = self.range
        if low >= high:
            yield f"range: [{low}, {high}] holds no rank; the first number must be smaller"
        elif self.per_query > high - low:
            yield f"per_query: {self.per_query} negatives cannot come from the {high - low} ranks of range"
        for name in ("guard", "audit"):
            if config := getattr(self, name):
                yield from (f"{name}: {fault}" for fault in config.faults())
        if self.guard and self.audit and self.guard.model == self.audit.model:
            yield (
                "audit.model: the guard has already removed what this model would find; "
                "name another model for the audit"
            )

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Say how much is searched, and how many negatives there will be at most."""
        if data is None:
            return {}
        queries = len(data.relevant("train"))
        return {
            "queries": queries,
            "passages searched at most": len(data.searched("train")),
            "negatives at most": queries * self.per_query,
        }
