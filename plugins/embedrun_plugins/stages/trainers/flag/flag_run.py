"""Fine-tuning with FlagEmbedding, from the set to the saved model."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file
from transformers import TrainerState, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from embedrun.artifacts import Model
from embedrun.errors import StageError, UserError, suggest
from embedrun_plugins.services.distributed.launch import Launch, Start
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.stages.trainers import checkpoints, library_messages
from embedrun_plugins.stages.trainers.flag import job as flag_job
from embedrun_plugins.stages.trainers.flag.groups import TrainingGroups, lines, make
from embedrun_plugins.stages.trainers.flag.job import FlagJob, JobWriter
from embedrun_plugins.stages.trainers.flag.pooling import Encoding
from embedrun_plugins.stages.trainers.flag.truncation import Lengths
from embedrun_plugins.stages.trainers.progress_callbacks import write_history
from embedrun_plugins.stages.trainers.training_arguments import on_cpu

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from embedrun.artifacts import RetrievalSet, Role
    from embedrun.context import Context
    from embedrun_plugins.stages.losses.ranking import InfoNce
    from embedrun_plugins.stages.trainers.flag.options import FlagOptions

_SAMPLES = 4
"""Texts of each role whose vectors must come out of the saved model as they do of FlagEmbedding."""
_TOLERANCE = 1e-4
_WORKER = "embedrun_plugins.stages.trainers.flag.worker"


@dataclass(frozen=True)
class FlagTraining:
    """One fine-tuning: what is trained how, on what."""

    options: FlagOptions
    ctx: Context
    data: RetrievalSet
    model: Model
    loss: InfoNce

    def run(self) -> Model:
        """Train and save below `ctx.out`.

        Raises UserError where set, model and options do not go together, StageError where training fails.
        """
        self._require()
        groups = self._groups()
        with library_messages.redirected(self.ctx.warn), library_messages.without_bars():
            self._tune(groups)
        return Model(self.ctx.out, self.model.settings.unsaved())

    def _tune(self, groups: TrainingGroups) -> None:
        tuned = self.model.load("cpu")
        encoding = Encoding.of(self.model, tuned)
        lengths = self._lengths(tuned, encoding, groups)
        samples = {role: counted.shortest(_SAMPLES) for role, counted in lengths.items()}
        settings = self.model.settings
        encoding.require_same_tokens(tuned, list(chain(*samples.values())), trusted=settings.trust_remote_code)
        if not checkpoints.is_whole(self.output):
            self._write(groups)
            writer = JobWriter(self.options, self.loss, settings, encoding, self.ctx.seed, self.on_cpu, self.processes)
            self._train(writer.job(samples), encoding)
        self._fill(tuned, samples)
        self._publish(tuned)

    @property
    def file(self) -> Path:
        """The rows, in FlagEmbedding's form."""
        return self.ctx.state / "train.jsonl"

    @property
    def output(self) -> Path:
        """FlagEmbedding's output folder, with its checkpoints."""
        return self.ctx.state / "output"

    @property
    def vectors(self) -> Path:
        """What FlagEmbedding makes of some texts in the end."""
        return self.output.parent / flag_job.VECTORS

    @cached_property
    def on_cpu(self) -> bool:
        return on_cpu(self.ctx.device)

    @cached_property
    def processes(self) -> int:
        """As many as asked for, or one for each GPU. Raises UserError where there are not so many GPUs."""
        seen, nodes = 0 if self.on_cpu else torch.cuda.device_count(), Nodes.here()
        wanted = self.options.processes or nodes.count * max(1, seen)
        if not self.on_cpu and nodes.share(wanted) > max(1, seen):
            raise UserError(f"trainer.processes: {wanted} processes need as many GPUs, but torch sees {seen} here")
        return wanted

    def _require(self) -> None:
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise UserError(
                "trainer: flag_embedding starts its processes itself; run embedrun without torchrun, and set "
                "trainer.processes"
            )
        if self.options.fp16 and self.on_cpu:
            raise UserError("trainer.fp16: needs a GPU; on a CPU, train with trainer.fp16: false")
        allowed = {field.name for field in fields(TrainingArguments)} | flag_job.OWN
        for name in self.options.extra:
            if name not in allowed:
                raise UserError(f"trainer.extra.{name}: there is no such argument{suggest(name, allowed)}")

    def _groups(self) -> TrainingGroups:
        options, ctx = self.options, self.ctx
        groups = make(
            self.data, group_size=options.train_group_size, distil=options.knowledge_distillation, seed=ctx.seed
        )
        ctx.note("rows", len(groups))
        if options.train_group_size > 1:
            ctx.note("negatives per row", options.train_group_size - 1)
        for name, count in groups.notes.items():
            ctx.note(name, count)
        whole = options.batch_size * self.processes
        if options.dataloader_drop_last and len(groups) < whole:
            raise UserError(f"trainer.batch_size: the {len(groups)} rows fill no batch of {whole}; lower it")
        return groups

    def _lengths(self, tuned: SentenceTransformer, encoding: Encoding, groups: TrainingGroups) -> dict[Role, Lengths]:
        """Count tokens, and warn of what is longer than is read of it."""
        data = self.data
        judgements = [judgement for group in groups.rows for judgement in (*group.positives, *group.negatives)]
        texts: dict[Role, list[str]] = {
            "query": [data.queries[group.query_id].text for group in groups.rows],
            "document": [data.documents[judgement.document_id].full_text for judgement in judgements],
        }
        lengths = {role: Lengths.of(tuned.tokenizer, encoding.prompts[role], texts[role]) for role in texts}
        words: dict[Role, tuple[str, str]] = {"query": ("queries", "query"), "document": ("passages", "passage")}
        for role, (what, field) in words.items():
            limit = flag_job.limit(self.options, role, encoding)
            cut = lengths[role].cut(limit)
            if cut:
                self.ctx.note(f"{what} cut", cut)
                more = encoding.max_length is None or encoding.max_length > limit
                hint = f"raise trainer.{field}_max_length" if more else "the model reads no more; make them shorter"
                self.ctx.warn(
                    f"{cut['texts']:.1%} of the {what} are longer than the {limit} tokens that are read of each, "
                    f"and {cut['tokens']:.1%} of all their tokens are lost; {hint}"
                )
        return lengths

    def _write(self, groups: TrainingGroups) -> None:
        self.ctx.state.mkdir(parents=True, exist_ok=True)
        rows = lines(self.data, groups.rows, scores=self.options.knowledge_distillation)
        with self.file.open("w", encoding="utf-8", newline="\n") as stream:
            stream.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in rows)

    def _train(self, job: FlagJob, encoding: Encoding) -> None:
        self.output.mkdir(parents=True, exist_ok=True)
        checkpoints.remove_incomplete(self.output)

        loss = ""

        def on_event(name: str, values: Mapping[str, Any]) -> None:
            nonlocal loss
            if name == "step":
                self.ctx.progress(f"training{loss}", values["done"], values["total"])
                return
            loss = f", loss {values['loss']:.4g}" if isinstance(values.get("loss"), float) else loss
            self.ctx.event(name, **values)

        nodes = Nodes.here()
        start = Start(_WORKER, flag_job.FILE, nodes.share(self.processes), "FlagEmbedding", self.ctx.offline)
        with TemporaryDirectory(prefix="embedrun-") as name:
            folder = Path(name).resolve()
            job.write(folder / flag_job.FILE)
            job.write(self.ctx.state / flag_job.FILE)
            links = {flag_job.ROWS: self.file, flag_job.OUTPUT: self.output, flag_job.MODEL: encoding.folder}
            for link, target in links.items():
                (folder / link).symlink_to(target.resolve())
            Launch(folder, start, self.ctx.state / "flag_embedding.log", nodes).run(on_event)
        if not checkpoints.is_whole(self.output):
            raise StageError("FlagEmbedding ended without a model")

    def _fill(self, tuned: SentenceTransformer, samples: Mapping[Role, list[str]]) -> None:
        """Copy the tuned weights into the model, whose vectors must then be FlagEmbedding's own."""
        saved = checkpoints.load_weights(self.output)
        if any(not torch.isfinite(tensor).all() for tensor in saved.values()):
            raise StageError("training diverged: the weights are not finite numbers; lower trainer.learning_rate")
        transformer: Any = tuned[0]
        transformer.auto_model.load_state_dict(saved)
        theirs = load_file(self.vectors)
        for role, texts in samples.items():
            encode = tuned.encode_query if role == "query" else tuned.encode_document
            saved_vectors = torch.from_numpy(encode(texts, show_progress_bar=False)).float()
            exact = transformer.auto_model.dtype == torch.float32
            allowed = (_TOLERANCE if exact else 100 * _TOLERANCE) * max(1.0, float(saved_vectors.abs().max()))
            if (difference := float((saved_vectors - theirs[role]).abs().max())) > allowed:
                raise StageError(
                    f"the saved model's vectors are not those that FlagEmbedding trained (they differ by up to "
                    f"{difference:.2g}); please report this model, and use the trainer sentence_transformers"
                )

    def _publish(self, tuned: SentenceTransformer) -> None:
        state = TrainerState.load_from_json(str(self.output / TRAINER_STATE_NAME))
        self.ctx.note("optimizer steps", state.global_step)
        if self.processes > 1:
            self.ctx.note("processes", self.processes)
        tuned.save_pretrained(str(self.ctx.out), create_model_card=False)
        write_history(self.ctx.out / "training_history.json", state)
