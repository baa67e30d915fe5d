"""The miners of hard negatives."""

from __future__ import annotations

from embedrun.stages import Miner
from embedrun_plugins.stages.miners.bm25 import Bm25
from embedrun_plugins.stages.miners.dense import Dense

MINERS: tuple[type[Miner], ...] = (Dense, Bm25)
