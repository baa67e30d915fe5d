"""The reranker `cross_encoder`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Self

from pydantic import Field

from embedrun.artifacts import Model, PairScorer, RetrievalSet
from embedrun.context import Context, Resolver
from embedrun.errors import MissingPackageError, UserError
from embedrun.model_settings import ModelSettings
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Reranker
from embedrun_plugins.stages.named_models import ModelName, commit_of, files_of, folder_of, missing_folder
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformersTrainer

_REHEARSED = 10
"""Depth in a rehearsal."""


class CrossEncoderReranker(Reranker):
    """A cross-encoder, or a decoder that answers yes or no, which gives each pair of query and passage one score.

    Trained with sentence-transformers' cross-encoder trainer, with the embedder's guarantees: it goes on from its last
    checkpoint after a kill, to the same weights.
    """

    type: Literal["cross_encoder"] = "cross_encoder"
    model: ModelName
    """Where it starts from: a folder (from the recipe's, or the current one) or a hub id, as in
    BAAI/bge-reranker-v2-m3. A plain encoder gets a head for the score, which is random until it is trained; a decoder
    scores by the logits of yes and no."""
    revision: str | None = None
    """Commit, tag or branch of a model on the hub."""
    max_length: int | None = Field(None, ge=8)
    """Most tokens of a pair that are read, query and passage together; by default as many as the model can."""
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    """Number format of the weights; by default the one that they are stored in."""
    trainer: SentenceTransformersTrainer | None = None
    """How it is trained: the options of the trainer `sentence_transformers`, which hold for cross-encoders, too."""

    def run(self, ctx: Context, data: RetrievalSet) -> Model:
        from embedrun_plugins.stages.trainers.cross_encoder_run import CrossEncoderTraining
        from embedrun_plugins.stages.trainers.multi_process import launcher

        if self.loss is None or self.trainer is None:
            raise UserError("reranker: is trained with a loss and a trainer; name both")
        for package, extra in self.trainer.needs().items():
            if find_spec(package) is None:
                raise MissingPackageError("reranker.trainer", package, extra)
        training = CrossEncoderTraining(self.trainer, ctx, data, self._base(ctx), self.loss, None)
        if self.trainer.processes == 1:
            training.run()
        else:
            launcher.train(training)
        return Model(ctx.out)

    def load(self, ctx: Context, tuned: Model | None) -> PairScorer:
        from embedrun_plugins.models import cross_encoders

        base = self._base(ctx)
        model = Model(tuned.path, ModelSettings(dtype=self.dtype)) if tuned else base
        if not tuned and not cross_encoders.has_head(base.path):
            ctx.warn(f"{self.model} has no head that scores pairs: untrained, it puts passages in a random order")
        loaded = cross_encoders.load(model, ctx.device, seed=None if tuned else ctx.seed)
        return cross_encoders.LoadedReranker(loaded, "the reranker", ctx.progress)

    def part(self, *, training: bool) -> Self:
        fields = type(self).model_fields
        free = ("depth", "negatives") if training else ("loss", "trainer", "negatives")
        return self.model_copy(update={name: fields[name].default for name in free})

    def _base(self, ctx: Context) -> Model:
        folder = folder_of(self.model, self.revision, offline=ctx.offline)
        return Model(folder, ModelSettings(max_length=self.max_length, dtype=self.dtype))

    def inputs(self) -> Iterable[Path]:
        return files_of(self.model)

    def resolve(self, resolver: Resolver) -> Self:
        revision = commit_of(self.model, self.revision, offline=resolver.offline)
        negatives = self.negatives and self.negatives.resolve(resolver)
        return self.model_copy(update={"revision": revision, "negatives": negatives})

    def fetch(self, resolver: Resolver) -> None:
        folder_of(self.model, self.revision, offline=resolver.offline)

    def faults(self) -> Iterable[str]:
        from embedrun_plugins.models import cross_encoders

        if missing := missing_folder(self.model):
            yield f"model: {missing}"
        elif Path(self.model).is_dir():
            yield from (f"model: {fault}" for fault in cross_encoders.faults(Path(self.model)))
        if (self.loss is None) != (self.trainer is None):
            yield "is trained with a loss and a trainer; name both, or none to use the model as it is"
        if self.negatives and self.loss is None:
            yield "negatives: have no effect without a loss and a trainer"
        if self.trainer:
            yield from _refused(self.trainer)

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Say how many rows and steps there are."""
        if self.trainer is None or self.loss is None:
            return {}
        return self.trainer.forecast(data, self.loss)

    def rehearsal(self, rehearsal: Rehearsal) -> CrossEncoderReranker:
        from embedrun_plugins.stages.rehearsal.stand_in_models import model_for
        from embedrun_plugins.stages.rehearsal.stand_ins import changed

        model = model_for("model", self.model, self.revision, rehearsal, scores=True)
        return changed(
            self, model=model, revision=None, depth=min(self.depth, _REHEARSED), dtype=self.dtype and "float32"
        )


def _refused(trainer: SentenceTransformersTrainer) -> Iterable[str]:
    """Say which options do not hold for rerankers."""
    if trainer.eval_strategy != "no":
        yield (
            "trainer.eval_strategy: a reranker is not judged while it is trained, but at the end, with each "
            "model; leave it out"
        )
    if trainer.batch_sampler == "group_by_label":
        yield "trainer.batch_sampler: 'group_by_label' is for losses over labelled texts, which no reranker has"
