"""Questions and the passages that answer them, from a data set on the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, Self

from pydantic import Field

from embedrun.artifacts import SPLITS, RetrievalSet, Split
from embedrun.context import Context, Resolver
from embedrun.errors import EmbedrunError
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Column, Source
from embedrun_plugins.stages.sources.columns import Columns
from embedrun_plugins.stages.sources.holdout import HoldoutField, held_out_splits
from embedrun_plugins.stages.sources.pairs import ANY_COLUMN, few_rows
from embedrun_plugins.stages.sources.row_set import make_set
from embedrun_plugins.stages.sources.tables import Table

_COMMIT = re.compile(r"[0-9a-f]{40}")


class Hub(Source):
    """Rows of questions and passages in a data set on the Hugging Face hub, read at one commit.

    Rows are treated as those of `pairs`. Private and gated data sets need HF_TOKEN in the environment. Offline, what
    was loaded before is taken from the cache, if it is the same commit. No code of the data set is ever run.
    """

    type: Literal["hub"] = "hub"
    dataset: str = Field(pattern=r"^\w[\w.-]*/\w[\w.-]*$")
    """The data set's id, owner/name."""
    name: str | None = None
    """Configuration (subset) of the data set; by default its default one."""
    split: str | dict[Split, str] = Field("train", min_length=1)
    """The data set's split to read as the train split, also a slice such as "train[:1000]"; or which of its splits is
    which: {train: train, dev: validation, test: test}."""
    revision: str | None = None
    """Branch, tag or commit; by default the main branch. A run fixes it to a commit."""
    columns: Columns = Columns()
    """Which column is what: {anchor: question, positive: context, …}; by default guessed from well-known names."""
    holdout: HoldoutField = None
    """Queries held out of the train split: a share (0.1) or a number (700) for the test split, or a mapping with
    `test`, `dev` and `by`. By default none."""

    def hub_splits(self) -> list[tuple[Split, str]]:
        """Return our splits and the hub's names for them, in the order in which they are read."""
        if isinstance(self.split, str):
            return [("train", self.split)]
        return [(split, self.split[split]) for split in SPLITS if split in self.split]

    def resolve(self, resolver: Resolver) -> Self:
        """Fix the revision to a commit; raises UserError where the hub cannot be reached and nothing is cached."""
        if self.revision and _COMMIT.fullmatch(self.revision):
            return self
        from embedrun_plugins.stages.sources.hub_datasets import commit_of

        commit = commit_of(self.dataset, self.revision, offline=resolver.offline)
        return self.model_copy(update={"revision": commit})

    def faults(self) -> Iterable[str]:
        yield from self.columns.faults()
        if self.holdout:
            yield from self.holdout.faults(frozenset(split for split, _ in self.hub_splits()))

    def columns_given(self) -> frozenset[Column]:
        return self.columns.given() if self.columns.anchor and self.columns.positive else ANY_COLUMN

    def splits_given(self) -> frozenset[Split]:
        return held_out_splits(self.holdout).union(split for split, _ in self.hub_splits())

    def fetch(self, resolver: Resolver) -> None:
        from embedrun_plugins.stages.sources.hub_datasets import HubDataset

        HubDataset.load(self.dataset, self.name, str(self.revision), offline=resolver.offline)

    def rehearsal(self, rehearsal: Rehearsal) -> Source:
        try:
            cached = list(self.resolve(Resolver(offline=True)).tables(offline=True))
        except EmbedrunError:
            missing = [(split, f"{self.dataset} is not cached here", None) for split, _ in self.hub_splits()]
            return few_rows(rehearsal, missing, self.columns, self.holdout)
        named = [(split, f"{self.dataset} ({split})", table) for split, table in cached]
        return few_rows(rehearsal, named, self.columns, self.holdout)

    def run(self, ctx: Context) -> RetrievalSet:
        fixed = self.resolve(Resolver(ctx.offline))
        ctx.note("revision", fixed.revision)
        return make_set(ctx, fixed.tables(offline=ctx.offline), self.columns, self.holdout)

    def tables(self, *, offline: bool) -> Iterator[tuple[Split, Table]]:
        """Yield each split's table; downloads what is not cached."""
        from embedrun_plugins.stages.sources.hub_datasets import HubDataset

        loaded = HubDataset.load(self.dataset, self.name, str(self.revision), offline=offline)
        for split, hub_split in self.hub_splits():
            yield split, loaded.table(hub_split)
