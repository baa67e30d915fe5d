"""The average of base and tuned model whose share scores best on held-out queries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from embedrun.artifacts import Model, RetrievalSet, Split
from embedrun.context import Context, Resolver
from embedrun.errors import UserError, suggest
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Evaluator, Merger
from embedrun_plugins.stages.rehearsal.stand_ins import changed

if TYPE_CHECKING:
    from embedrun_plugins.stages.mergers.weight_average import Mix

_FILE = "merge_search.json"
_SHARES = 3
"""Shares that a rehearsal tries."""


def _rising(shares: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(set(shares)))


def _absent(value: object) -> bool:
    return value is None


class Search(Merger):
    """Average base and tuned model by the share of the tuned one that scores best on a split held out from training.

    Every share of `weights` is scored by the recipe's first evaluator. Of equal scores the smallest share wins: the
    mix that is nearest to the base. Beside the model it writes `merge_search.json` with every share's score. The split
    must not be the one that the models are judged by, or the mix's score there would flatter it.
    """

    type: Literal["search"] = "search"
    seeded: ClassVar[bool] = False
    weights: Annotated[tuple[Annotated[float, Field(ge=0, le=1)], ...], AfterValidator(_rising)] = Field(
        tuple(tenth / 10 for tenth in range(11)), min_length=1
    )
    """Shares of the tuned model to try; the base has the rest."""
    metric: str = "ndcg@10"
    """The evaluator's metric that decides; the highest value wins."""
    split: Split = "dev"
    """The split that decides: train, dev or test."""
    keep: Evaluator | None = Field(None, exclude_if=_absent)
    """An evaluator by which the mix may not become worse than the base, such as {type: general}: of the shares that
    hold `max_drop`, the best on the split is taken."""
    max_drop: float | None = Field(None, ge=0, le=1, exclude_if=_absent)
    """How far below the base's any metric of `keep` may fall, as measured: the point, not its interval."""

    def run(self, ctx: Context, data: RetrievalSet, base: Model, tuned: Model, dev: Evaluator | None) -> Model:
        from sentence_transformers.util import get_device_name

        from embedrun_plugins.stages.mergers.weight_average import Mix

        evaluator = self._evaluator(dev)
        if evaluator.split_needed() == self.split:
            ctx.warn(
                f"the mix is chosen on '{self.split}', the split that it is judged by: its score there flatters it"
            )
        mix = Mix.of(ctx, base, tuned)
        mix.model.to(ctx.device or get_device_name())
        scores = self._scores(ctx, data, evaluator, mix)
        order = sorted(scores, key=lambda share: (-scores[share], share))
        drops = self._drops(ctx, data, mix, order) if self.keep else {}
        best = self._held(drops) if drops else order[0]
        self._report(ctx, scores, drops, best)
        mix.weigh(1 - best, best)
        mix.save(ctx.out)
        return Model(ctx.out, tuned.settings)

    def rehearsal(self, rehearsal: Rehearsal) -> Search:
        """Return the merger with the first, the middle and the last of the shares that it tries."""
        weights = self.weights
        if len(weights) <= _SHARES:
            return self
        rehearsal.note(f"{_SHARES} of {len(weights)} weights are tried")
        return changed(self, weights=(weights[0], weights[len(weights) // 2], weights[-1]))

    def watched_split(self) -> Split | None:
        return self.split

    def watched_metric(self) -> str | None:
        return self.metric

    def faults(self) -> Iterable[str]:
        if self.keep is None and self.max_drop is not None:
            yield "max_drop: of what? name an evaluator: keep: {type: general}"
        if self.keep is not None and self.max_drop is None:
            yield f"keep: how much may '{self.keep.type}' fall? Set max_drop, such as 0.02"

    def inputs(self) -> Iterable[Path]:
        return self.keep.inputs() if self.keep else ()

    def resolve(self, resolver: Resolver) -> Self:
        return self.model_copy(update={"keep": self.keep.resolve(resolver)}) if self.keep else self

    def _report(self, ctx: Context, scores: Mapping[float, float], drops: Mapping[float, float], best: float) -> None:
        """Note what was chosen, warn where it is the base, and write every share's figures."""
        ctx.note("tuned", best)
        if best in scores:
            ctx.note(f"{self.metric} on {self.split}", scores[best])
        if drops:
            ctx.note("falls elsewhere by", {f"{share:g}": round(drop, 4) for share, drop in drops.items()})
        if best == 0:
            reason = f"scores better on the {self.split} split"
            if any(drop > (self.max_drop or 0.0) for drop in drops.values()):
                reason += f" and falls by {self.max_drop:g} at most elsewhere"
            ctx.warn(f"no share of the tuned model {reason}: the mix is the base itself")
        curve = [{"tuned": share, self.metric: score} for share, score in scores.items()]
        content = {"metric": self.metric, "split": self.split, "tuned": best, "scores": curve}
        if drops:
            content["drops"] = [{"tuned": share, "drop": drop} for share, drop in sorted(drops.items())]
        (ctx.out / _FILE).write_text(json.dumps(content, indent=1) + "\n", "utf-8")

    def _held(self, drops: Mapping[float, float]) -> float:
        """Return the first share that loses little enough; the base itself loses nothing."""
        return next((share for share, drop in drops.items() if drop <= (self.max_drop or 0.0)), 0.0)

    def _drops(self, ctx: Context, data: RetrievalSet, mix: Mix, order: Sequence[float]) -> dict[float, float]:
        """Return by how much the worst metric of `keep` falls, share by share until one falls by little enough."""
        if self.keep is None:
            return {}
        base = self.keep.score(mix.weigh(1, 0), data, self.split)
        drops: dict[float, float] = {}
        for share in ctx.track(order, "share elsewhere"):
            metrics = self.keep.score(mix.weigh(1 - share, share), data, self.split) if share else base
            drops[share] = max(base[name] - metrics[name] for name in base)
            if drops[share] <= (self.max_drop or 0.0):
                break
        return drops

    def _evaluator(self, dev: Evaluator | None) -> Evaluator:
        """Return what scores the mixes. Raises UserError, before any work, where it does not measure what decides."""
        if dev is None:
            raise UserError("merge: 'search' chooses by an evaluator, but there is none")
        measured = dev.metrics()
        if measured is not None and self.metric not in measured:
            raise UserError(
                f"merge.metric: '{dev.type}' does not measure '{self.metric}'{suggest(self.metric, measured)}"
            )
        return dev

    def _scores(self, ctx: Context, data: RetrievalSet, evaluator: Evaluator, mix: Mix) -> dict[float, float]:
        """Return each share's score; those found before an interruption are not measured again."""
        file = ctx.state / _FILE
        done: dict[float, float] = dict(json.loads(file.read_text("utf-8"))) if file.exists() else {}
        for share in ctx.track(self.weights, "share of the tuned model"):
            if share not in done:
                metrics = evaluator.score(mix.weigh(1 - share, share), data, self.split)
                if self.metric not in metrics:
                    hint = suggest(self.metric, metrics)
                    raise UserError(f"merge.metric: '{evaluator.type}' did not measure it{hint}")
                done[share] = metrics[self.metric]
                scratch = file.with_suffix(".part")
                scratch.write_text(json.dumps(list(done.items())), "utf-8")
                scratch.replace(file)
            ctx.event("merge", tuned=share, **{self.metric: done[share]})
        return {share: done[share] for share in self.weights}
