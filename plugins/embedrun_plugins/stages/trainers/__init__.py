"""The built-in trainers."""

from __future__ import annotations

from embedrun.stages import Trainer
from embedrun_plugins.stages.trainers.flag_embedding import FlagEmbedding
from embedrun_plugins.stages.trainers.sentence_transformers import SentenceTransformers

TRAINERS: tuple[type[Trainer], ...] = (SentenceTransformers, FlagEmbedding)
