"""What is compared in a report: models under one evaluator, with the rows that say how they differ."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedrun.record import RunRecord
from embedrun_plugins.results import roles

Row = Mapping[str, Any]

_DIMENSION = re.compile(r"dim_(\d+)_(.+)")
_NAMES = {
    "ndcg": "nDCG",
    "mrr": "MRR",
    "map": "MAP",
    "accuracy": "Accuracy",
    "recall": "Recall",
    "precision": "Precision",
    "hit_rate": "Hit rate",
}


def parted(metric: str) -> tuple[int | None, str]:
    """Return a metric's dimensions, None for the full vectors, and its name without them."""
    match = _DIMENSION.fullmatch(metric)
    return (int(match[1]), match[2]) if match else (None, metric)


def spoken(metric: str) -> str:
    """Return a metric as people write it, without its dimensions: nDCG@10."""
    name, at, cutoff = parted(metric)[1].partition("@")
    return f"{_NAMES.get(name, name)}{at}{cutoff}"


@dataclass(frozen=True)
class Contender:
    """A model that was scored."""

    name: str
    metrics: Mapping[str, float]
    scores: Path | None
    """Its scores' folder, where the store still holds it."""
    size: int | None
    """Dimensions of its full vectors, where they are known."""
    role: str
    """Which of its run's models it is: base, tuned, merged, or one of those to compare with."""


@dataclass(frozen=True)
class Contest:
    """The models that one evaluator scored; the first is what the others are compared with.

    Rivals are models of `compare_with`: the last of the others is compared with each.
    """

    name: str
    headlines: tuple[str, ...]
    contenders: tuple[Contender, ...]
    rows: tuple[Row, ...]
    data: Path | None
    """The retrieval set that they were judged by, where the store still holds it."""
    split: str | None = None
    rivals: tuple[Contender, ...] = ()
    elsewhere: bool = False
    """Whether its sets have nothing to do with the recipe's, as those of `general`."""

    @property
    def base(self) -> Contender:
        return self.contenders[0]

    @property
    def challengers(self) -> tuple[Contender, ...]:
        return self.contenders[1:]

    @property
    def last(self) -> Contender:
        return self.contenders[-1]

    @property
    def headline(self) -> str:
        return self.headlines[0]

    def row(self, metric: str, contender: Contender, against: Contender | None = None) -> Row | None:
        """Return how a model differs by a metric from another, by default the first."""
        base = (against or self.base).name
        wanted = (metric, contender.name, base)
        # Rows of older runs do not say what they are against: the base.
        matching = (row for row in self.rows if (row["metric"], row["role"], row.get("against", "base")) == wanted)
        return next(matching, None)

    def judged_rivals(self) -> list[Contender]:
        """Return the rivals that there is a verdict on, by the headline."""
        rows = ((rival, self.row(self.headline, self.last, rival)) for rival in self.rivals)
        return [rival for rival, row in rows if row and row.get("verdict")]

    def sizes(self) -> list[tuple[int | None, str]]:
        """Return the dimensions at which the headline was measured, full vectors first, each with its metric."""
        name = parted(self.headline)[1]
        measured = [(size, metric) for metric in self.base.metrics for size, plain in [parted(metric)] if plain == name]
        full = {contender.size for contender in self.contenders}
        cut = [
            item for item in measured if item[0] is not None and not (full == {item[0]} and (None, name) in measured)
        ]
        return [item for item in measured if item[0] is None] + sorted(cut, key=lambda item: -(item[0] or 0))

    def shown(self) -> tuple[str, ...]:
        """Return the headline at each size, then the other headlines; full vectors once, though they have two names."""
        sizes = [metric for _, metric in self.sizes()]
        name = parted(self.headline)[1]
        return (*sizes, *(metric for metric in self.headlines if parted(metric)[1] != name))

    def at(self, size: int | None) -> str:
        """Say at how many dimensions something was measured; nothing where there is only one size."""
        if len(self.sizes()) == 1:
            return ""
        full = self.base.size
        return f" at {size} dimensions" if size else f" at full size{f' ({full} dimensions)' if full else ''}"


def of_run(run: RunRecord) -> list[Contest]:
    """Return what a run's evaluators found, as far as it came."""
    lock = run.recipe
    data, size = judged_set(run), vector_size(run, lock)
    splits = dict(_splits(lock))
    with_own_sets = {stage["type"] for stage in lock.get("evaluator") or () if stage.get("sets")}
    contests = []
    for name, by_role in run.scores.items():
        scored = {role: metrics for role, metrics in by_role.items() if metrics}
        contenders, rivals = (
            tuple(
                Contender(role, scored[role], run.artifact(f"evaluator.{name}.{role}"), size if is_own else None, role)
                for role in chosen
            )
            for is_own, chosen in ((True, roles.own(scored)), (False, roles.rivals(scored)))
        )
        if contenders:
            measured = contenders[0].metrics
            shown = tuple(m for m in run.headlines.get(name, ()) if m in measured) or tuple(measured)
            rows = tuple(run.comparisons.get(name, ()))
            other = name.partition(".")[0] in with_own_sets
            judged = None if other else data
            contests.append(Contest(name, shown, contenders, rows, judged, splits.get(name), rivals, other))
    return contests


def _splits(lock: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    seen: dict[str, int] = {}
    for stage in lock.get("evaluator") or ():
        name = stage["type"]
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}.{seen[name]}", stage.get("split")


def judged_set(run: RunRecord) -> Path | None:
    """Return the folder of the set that models are judged by: what the source, generator and filters left."""
    slots = [stage.slot for stage in run.stages() if stage.kind in ("source", "generator", "filters")]
    return run.artifact(slots[-1]) if slots else None


def vector_size(run: RunRecord, lock: Mapping[str, Any]) -> int | None:
    """Return the length of the model's vectors, from its files, where the run made a model."""
    model = run.artifact(run.last_model)
    size = _written_size(model) if model and (model / "modules.json").is_file() else None
    cut = (lock.get("model") or {}).get("dimensions")
    return min(size, cut) if size and cut else size


def _written_size(model: Path) -> int | None:
    size = None
    for module in json.loads((model / "modules.json").read_text("utf-8")):
        file = model / module["path"] / "config.json"
        if module["type"].rpartition(".")[2] in ("Pooling", "Dense") and file.is_file():
            config = json.loads(file.read_text("utf-8"))
            keys = ("out_features", "embedding_dimension", "word_embedding_dimension")
            size = next((int(config[key]) for key in keys if key in config), size)
    return size
