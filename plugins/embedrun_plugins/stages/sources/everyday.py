"""The set that comes with embedrun: everyday knowledge, to see what a model has forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from embedrun.artifacts import RetrievalSet, Split
from embedrun.context import Context
from embedrun.stages import Column, Source
from embedrun_plugins.stages.sources.beir import Beir

FOLDER = Path(__file__).parent / "everyday_set"
"""The set, in BEIR layout."""


class Everyday(Source):
    """Short passages of everyday knowledge, with questions as people ask them; it comes with embedrun and needs no hub.

    Household, cooking, health, plants and animals, the body, weather, the earth and the sky, history, law in outline,
    money, travel, computers. Written for this project, and in the public domain (CC0). All questions are of the test
    split: it is there to judge by, and never to train on.
    """

    type: Literal["everyday"] = "everyday"
    seeded: ClassVar[bool] = False
    version: ClassVar[int] = 1

    def run(self, ctx: Context) -> RetrievalSet:
        return Beir(path=FOLDER).run(ctx)

    def columns_given(self) -> frozenset[Column]:
        return frozenset({"positive"})

    def splits_given(self) -> frozenset[Split]:
        return frozenset({"test"})
