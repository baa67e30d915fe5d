"""The built-in trainers."""

from __future__ import annotations

from embedrun.stages import Trainer
from embedrun_plugins.trainers.finetuning import SentenceTransformers

TRAINERS: tuple[type[Trainer], ...] = (SentenceTransformers,)
