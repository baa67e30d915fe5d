"""What all miners are told: which ranks, how many, and how false negatives are kept out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field

from embedrun.artifacts import Model, RetrievalSet
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Miner
from embedrun_plugins.stages.miners.audit import Audit
from embedrun_plugins.stages.miners.scorers import Gate

if TYPE_CHECKING:
    from embedrun_plugins.stages.miners.candidate_pool import Pool
    from embedrun_plugins.stages.miners.ranking import Candidates


from typing import TYPE_CHECKING

from embedrun_plugins.stages.rehearsal.lenient import lenient_miner
from embedrun_plugins.stages.rehearsal.stand_in_models import model_for
from embedrun_plugins.stages.rehearsal.stand_ins import changed


def _from_text(value: Any) -> Any:
    """Read a range as FlagEmbedding's script takes it, "3-200"."""
    found = re.fullmatch(r"\s*(\d+)\s*-\s*(\d+)\s*", value) if isinstance(value, str) else None
    return (int(found[1]), int(found[2])) if found else value


def _guard_of(value: Any) -> Any:
    return {"model": value} if isinstance(value, str) else value


Ranks = Annotated[
    tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=1)]],
    BeforeValidator(_from_text, json_schema_input_type=tuple[int, int] | str),
]


class Mining(Miner, ABC):
    """What the miners share.

    The queries of the train split search its documents (those whose metadata name it, else the whole corpus), each
    distinct text once. Never a negative is what equals, but for case, white space and punctuation, or nearly equals a
    passage that is relevant for the query in any split, or the query itself.
    """

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
    guard: Annotated[Gate | None, BeforeValidator(_guard_of, json_schema_input_type=str | Gate | None)] = None
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
        from embedrun_plugins.stages.miners.mining_run import mine

        return mine(self, ctx, data, model)

    def rehearsal(self, rehearsal: Rehearsal) -> Miner:
        return few_negatives(self, rehearsal)

    def inputs(self) -> Iterable[Path]:
        return [path for judge in (self.guard, self.audit) if judge for path in judge.files()]

    def resolve(self, resolver: Resolver) -> Self:
        judges = {name: judge for name in ("guard", "audit") if (judge := getattr(self, name))}
        return self.model_copy(update={name: judge.resolved(resolver) for name, judge in judges.items()})

    def fetch(self, resolver: Resolver) -> None:
        for judge in (self.guard, self.audit):
            if judge:
                judge.fetch(resolver)

    def columns_given(self) -> frozenset[Column]:
        return frozenset({"negative", "teacher_score"} if self.guard and self.guard.teach else {"negative"})

    def faults(self) -> Iterable[str]:
        low, high = self.range
        if low >= high:
            yield f"range: [{low}, {high}] holds no rank; the first number must be the smaller"
        elif self.per_query > high - low:
            yield f"per_query: {self.per_query} negatives cannot come from the {high - low} ranks of range"
        for name in ("guard", "audit"):
            if judge := getattr(self, name):
                yield from (f"{name}: {fault}" for fault in judge.faults())
        if self.guard and self.audit and self.guard.model == self.audit.model:
            yield (
                "audit.model: the guard has kept out what this model takes for an answer, so it would find none; "
                "name another model to audit with"
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


_PER_QUERY = 2
_LIMITS = ("min_score", "max_score", "absolute_margin", "relative_margin")


def few_negatives(stage: Mining, rehearsal: Rehearsal) -> Miner:
    """Return a miner of a few negatives, whose limits are loosened where they leave none."""
    judges = {name: judge for name in ("guard", "audit") if (judge := getattr(stage, name))}
    for name, judge in judges.items():
        if judge.model:
            model = model_for(f"{name}.model", judge.model, judge.revision, rehearsal, scores=True)
            judges[name] = judge.model_copy(update={"model": model, "revision": None})
    if stage.audit:
        judges["audit"] = judges["audit"].model_copy(update={"max_share": None})
    per_query = min(stage.per_query, _PER_QUERY)
    if per_query < stage.per_query:
        rehearsal.note(f"per_query: {per_query} in place of {stage.per_query}")
    own = changed(stage, per_query=per_query, **judges)
    free = {name: None for name in (*_LIMITS, "guard") if name in type(stage).model_fields}
    if stage.guard and stage.guard.teach:
        free.pop("guard")
    return lenient_miner(own, changed(own, range=(0, stage.range[1]), **free))
