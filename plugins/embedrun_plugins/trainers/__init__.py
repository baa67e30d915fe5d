"""The built-in trainers."""

from __future__ import annotations

from embedrun.stages import Trainer
from embedrun_plugins.trainers.finetuning import SentenceTransformers
from embedrun_plugins.trainers.flag_embedding import FlagEmbedding

TRAINERS: tuple[type[Trainer], ...] = (SentenceTransformers, FlagEmbedding)
