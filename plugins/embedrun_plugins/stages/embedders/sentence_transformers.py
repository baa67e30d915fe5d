"""Another model, loaded here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from embedrun.artifacts import Encoder, Model
from embedrun.context import Context, Resolver
from embedrun.model_settings import ModelSettings
from embedrun.rehearsal import Rehearsal
from embedrun.stage import Stage
from embedrun.stages import Embedder
from embedrun_plugins.stages.named_models import ModelName, commit_of, files_of, folder_of, missing_folder


class SentenceTransformersEmbedder(Embedder, ModelSettings):
    """Another sentence-transformers model, or a plain checkpoint, with an embedding contract of its own.

    Its prompts, length, pooling and so on are those saved with it unless they are given here; nothing is taken from
    the recipe's `model`.
    """

    type: Literal["sentence_transformers"] = "sentence_transformers"
    model: ModelName
    """The model: a folder (from the recipe's, or the current one), or a hub id."""
    revision: str | None = None
    """Branch, tag or commit of a model on the hub; a run fixes it to a commit."""

    def inputs(self) -> Iterable[Path]:
        return files_of(self.model)

    def faults(self) -> Iterable[str]:
        if missing := missing_folder(self.model):
            yield f"model: {missing}"
        if self.revision and files_of(self.model):
            yield f"revision: {self.model} is a folder, which has none"

    def resolve(self, resolver: Resolver) -> Stage:
        commit = commit_of(self.model, self.revision, offline=resolver.offline)
        return self if commit == self.revision else self.model_copy(update={"revision": commit})

    def fetch(self, resolver: Resolver) -> None:
        self._folder(offline=resolver.offline)

    def rehearsal(self, rehearsal: Rehearsal) -> SentenceTransformersEmbedder:
        from embedrun_plugins.stages.rehearsal.stand_in_models import small_or_random

        return small_or_random(self, rehearsal, "model", "revision")

    def connect(self, ctx: Context) -> Encoder:
        settings = ModelSettings.model_validate(self.model_dump(include=set(ModelSettings.model_fields)))
        return Model(self._folder(offline=ctx.offline), settings).load(ctx.device)

    def _folder(self, *, offline: bool) -> Path:
        return folder_of(self.model, self.revision, offline=offline, trust_remote_code=self.trust_remote_code)
