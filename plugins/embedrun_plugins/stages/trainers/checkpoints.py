"""Training that ends with the same weights, bit by bit, whether or not it was killed in between."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from sentence_transformers import CrossEncoderTrainer, SentenceTransformerTrainer
from torch import Tensor
from transformers import EarlyStoppingCallback, Trainer, TrainerState
from transformers.trainer import TRAINER_STATE_NAME

from embedrun.hashing import folder_files
from embedrun_plugins.services.distributed import collectives
from embedrun_plugins.stages.trainers import resume_callbacks
from embedrun_plugins.stages.trainers.padding_free_step import PaddingFreeStep

_WEIGHTS = "trained.safetensors"


class Resumable(Trainer):
    """What trainers of transformers' kind share that go on from a checkpoint as if nothing had happened."""

    goes_on_from: Path | None = None
    keep = 1
    """Checkpoints kept, beside the best one."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.add_callback(resume_callbacks.Restoring(self))

    @property
    def folder(self) -> Path:
        return Path(str(self.args.output_dir))

    def _save_rng_state(self, output_dir: str) -> None:
        super()._save_rng_state(output_dir)
        if self.args.world_size > 1:
            collectives.gather_file(Path(output_dir) / f"rng_state_{self.args.process_index}.pth")

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        checkpoint = self.folder / f"checkpoint-{self.state.global_step}"
        if self.args.should_save:
            unmark(checkpoint)
        super()._save_checkpoint(model, trial)
        resume_callbacks.save_running_loss(self, checkpoint)
        collectives.barrier()
        if self.args.should_save:
            mark(checkpoint, finished=self.control.should_training_stop)
            remove_old(self.folder, self.keep, spared=f"checkpoint-{self.state.best_global_step}")


class ResumableWeights(Resumable):
    """What sentence-transformers' trainers share: checkpoints hold what is trained, the loss's weights included."""

    def __init__(self, *, keep: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.keep = keep

    def fit(self) -> None:
        """Train from the last complete checkpoint, or from the start."""
        if self.args.should_save:
            remove_incomplete(self.folder)
        collectives.barrier()
        last = last_checkpoint(self.folder)
        if last is None:
            self.train()
            return
        self.state = TrainerState.load_from_json(str(last / TRAINER_STATE_NAME))
        if is_finished(last):
            self._load_from_checkpoint(str(last))
            if self.args.load_best_model_at_end and self.state.best_global_step:
                self._load_best_model()
            return
        self.args.eval_on_start = False
        self.goes_on_from = last
        self._restore_patience()
        self.train(resume_from_checkpoint=str(last))

    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """Leave the model card out: it samples texts, asks the hub and names the time."""

    def trained(self) -> dict[str, Tensor]:
        """Return every tensor that training changes, by name: the model's, and those of the loss itself."""
        model: Any = self.model
        saved = model.state_dict().keys()
        of_model = {id(parameter) for parameter in model.parameters()}
        loss: Any = getattr(self, "loss")  # noqa: B009 - of the library's trainers, not of transformers'
        parameters = {f"model.{n}": p for n, p in model.named_parameters() if p.requires_grad}
        buffers = {f"model.{n}": buffer for n, buffer in model.named_buffers() if n in saved}
        of_loss = {n: p for n, p in loss.named_parameters() if p.requires_grad and id(p) not in of_model}
        return parameters | buffers | {f"loss.{n}": p for n, p in of_loss.items()}

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        del state_dict
        if self.args.should_save and output_dir is not None:
            Path(output_dir).mkdir(parents=True, exist_ok=True)
            tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.trained().items()}
            save_file(tensors, Path(output_dir) / _WEIGHTS)

    def _load_from_checkpoint(self, checkpoint_path: str, model: Any = None) -> None:
        del model
        saved = load_file(Path(checkpoint_path) / _WEIGHTS)
        with torch.no_grad():
            for name, tensor in self.trained().items():
                tensor.copy_(saved[name])

    def _load_best_model(self) -> None:
        if not self.args.should_save:
            return  # what it holds is not published, and the checkpoint may be on another machine
        self._load_from_checkpoint(str(self.folder / f"checkpoint-{self.state.best_global_step}"))

    def _restore_patience(self) -> None:
        states: Any = self.state.stateful_callbacks or {}
        stored = states.get("EarlyStoppingCallback", {})
        for callback in self.callback_handler.callbacks:
            if isinstance(callback, EarlyStoppingCallback):
                counter = stored.get("attributes", {}).get("early_stopping_patience_counter", 0)
                callback.early_stopping_patience_counter = counter


class ResumableTrainer(ResumableWeights, SentenceTransformerTrainer):
    """Trains an embedding model."""

    def __init__(self, *, padding_free: PaddingFreeStep | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.padding_free = padding_free

    def compute_loss(self, model: Any, inputs: dict[str, Any], *rest: Any, **options: Any) -> Any:
        """Compute a batch's loss; its columns are embedded together before it, where that can be."""
        if self.padding_free is None or not self.model.training:
            return super().compute_loss(model, inputs, *rest, **options)
        prefixes = [name.removesuffix("input_ids") for name in inputs if name.endswith("_input_ids")]
        columns = dict(zip(prefixes, self.collect_features(inputs)[0], strict=True))
        embedded = self.padding_free.embed(model, columns)
        # The vectors are there, so the loss needs no model that other processes know of.
        return super().compute_loss(self.model if embedded else model, {**inputs, **embedded}, *rest, **options)


class ResumableCrossEncoderTrainer(ResumableWeights, CrossEncoderTrainer):
    """Trains a cross-encoder."""


def load_weights(folder: Path) -> dict[str, Tensor]:
    """Return what all safetensors files of a folder hold."""
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


_COMPLETE = "complete.json"


def mark(checkpoint: Path, *, finished: bool) -> None:
    """Say that a checkpoint is whole, and whether training ends with it."""
    scratch = checkpoint / f"{_COMPLETE}.part"
    files = {name: file.stat().st_size for name, file in folder_files(checkpoint).items()}
    for marker in (_COMPLETE, scratch.name):
        files.pop(marker, None)
    scratch.write_text(json.dumps({"finished": finished, "files": files}), "utf-8")
    scratch.rename(checkpoint / _COMPLETE)


def unmark(checkpoint: Path) -> None:
    """Say that a checkpoint is not whole, such as one that is made again."""
    (checkpoint / _COMPLETE).unlink(missing_ok=True)


def is_whole(checkpoint: Path) -> bool:
    """Say whether a checkpoint is marked, and all its files are there: they may have been copied one by one since."""
    try:
        files = json.loads((checkpoint / _COMPLETE).read_text("utf-8")).get("files") or {}
        return all((checkpoint / name).stat().st_size == size for name, size in files.items())
    except (OSError, ValueError):
        return False


def is_finished(checkpoint: Path) -> bool:
    """Say whether training ended with a whole checkpoint."""
    return bool(json.loads((checkpoint / _COMPLETE).read_text("utf-8"))["finished"])


def checkpoints(folder: Path) -> list[Path]:
    """Return the whole checkpoints, the last one at the end."""
    whole = filter(is_whole, folder.glob("checkpoint-*"))
    return sorted(whole, key=lambda checkpoint: int(checkpoint.name.rsplit("-", 1)[-1]))


def last_checkpoint(folder: Path) -> Path | None:
    return next(reversed(checkpoints(folder)), None)


def remove_incomplete(folder: Path) -> None:
    for checkpoint in folder.glob("checkpoint-*"):
        if not is_whole(checkpoint):
            shutil.rmtree(checkpoint)


def remove_old(folder: Path, keep: int, spared: str = "") -> None:
    """Remove all but the last `keep` whole checkpoints, and the one that is spared by name."""
    for checkpoint in checkpoints(folder)[:-keep]:
        if checkpoint.name != spared:
            # The mark goes first, so that a folder half deleted is no checkpoint.
            unmark(checkpoint)
            shutil.rmtree(checkpoint)
