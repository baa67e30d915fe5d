"""A fine-tuning with sentence-transformers, written down for several processes."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedrun.artifacts import Model, RetrievalSet
from embedrun.model_settings import ModelSettings
from embedrun.registry import Registry
from embedrun.stage import Stage
from embedrun.stages import Evaluator, Loss, RerankerLoss, Trainer
from embedrun_plugins.services.distributed.launch import JobFile

if TYPE_CHECKING:
    from embedrun.context import Context
    from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining

FILE = "job.json"


@dataclass(frozen=True)
class MultiProcessJob(JobFile):
    """What the processes are told; data, model, state and local plugins lie beside it, under these names."""

    trainer: Mapping[str, Any]
    loss: Mapping[str, Any]
    dev: Mapping[str, Any] | None
    settings: Mapping[str, Any]
    """The model's contract."""
    out: str
    """Folder that the first process writes the model to."""
    seed: int
    device: str | None
    offline: bool
    of_pairs: bool = False
    """Whether it is a reranker that is trained."""

    @classmethod
    def of(cls, training: SentenceTransformersTraining) -> MultiProcessJob:
        ctx, options = training.ctx, training.options
        # The processes run in another folder than this one.
        trainer = options.model_copy(update={"logging_dir": str(Path.cwd() / options.logging_dir)})
        return cls(
            trainer=_dumped(trainer),
            loss=_dumped(training.loss),
            dev=_dumped(training.dev) if training.dev else None,
            settings=training.model.settings.model_dump(mode="json"),
            out=str(ctx.out.resolve()),
            seed=ctx.seed,
            device=ctx.device,
            offline=ctx.offline,
            of_pairs=isinstance(training.loss, RerankerLoss),
        )

    def lay_down(self, folder: Path, training: SentenceTransformersTraining) -> None:
        """Write the job, with links to all that it takes."""
        self.write(folder / FILE)
        training.ctx.state.mkdir(parents=True, exist_ok=True)
        targets = {"data": training.data.path, "model": training.model.path, "state": training.ctx.state}
        for name, target in targets.items():
            (folder / name).symlink_to(target.resolve(), target_is_directory=True)
        stages = filter(None, (training.options, training.loss, training.dev))
        for number, file in enumerate(local_plugins(stages)):
            (folder / "plugins" / str(number)).mkdir(parents=True)
            shutil.copy(file, folder / "plugins" / str(number))

    def training(self, folder: Path, ctx: Context) -> SentenceTransformersTraining:
        """Return the training that this is, its stages made anew."""
        from embedrun_plugins.stages.trainers.cross_encoder_run import CrossEncoderTraining
        from embedrun_plugins.stages.trainers.sentence_transformers_run import SentenceTransformersTraining

        registry = Registry(sorted((folder / "plugins").glob("*/*.py"), key=lambda file: int(file.parent.name)))
        context = registry.validation_context()
        options: Any = Trainer.model_validate(self.trainer, context=context)
        kind, loss = (CrossEncoderTraining, RerankerLoss) if self.of_pairs else (SentenceTransformersTraining, Loss)
        return kind(
            options,
            ctx,
            RetrievalSet(folder / "data"),
            Model(folder / "model", ModelSettings.model_validate(self.settings)),
            loss.model_validate(self.loss, context=context),
            Evaluator.model_validate(self.dev, context=context) if self.dev else None,
        )


def _dumped(stage: Stage) -> dict[str, Any]:
    return stage.model_dump(mode="json", serialize_as_any=True)


def local_plugins(stages: Iterable[Stage]) -> list[Path]:
    """Return the local files that stages, and those inside them, come from."""
    files: dict[Path, None] = {}
    for stage in stages:
        module = sys.modules.get(type(stage).__module__)
        if module is not None and module.__name__.startswith("embedrun_local_"):
            files[Path(str(module.__file__))] = None
        inner = [value for name in type(stage).model_fields if isinstance(value := getattr(stage, name), Stage)]
        files |= dict.fromkeys(local_plugins(inner))
    return list(files)
