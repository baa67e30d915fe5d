"""What a training cost elsewhere: retrieval on sets that have nothing to do with the recipe's own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field

from embedrun.artifacts import Comparison, Encoder, RetrievalSet, Scores, Split
from embedrun.context import Context, Resolver, Unkeyed
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Evaluator
from embedrun_plugins.stages.evaluators.drop_limit import DropLimit
from embedrun_plugins.stages.evaluators.general_sets import GeneralSet, task_of
from embedrun_plugins.stages.evaluators.paired_differences import EQUAL, comparison
from embedrun_plugins.stages.evaluators.query_units import Clusters, QueryUnits
from embedrun_plugins.stages.rehearsal.stand_ins import changed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

    from embedrun_plugins.stages.evaluators.retrieval_task import Progress, Retrieved, Task


class General(Evaluator):
    """Search sets that the model was not trained for, before and after: what was forgotten.

    Each set has one metric, such as everyday_ndcg@10, with its own interval; verdicts are corrected for the number of
    sets. The base is scored once for all recipes. Beside the metrics it writes `per_query.json` and, for each set,
    `run.NAME.trec` and `qrels.NAME.trec`; ids of queries begin with the set's name.
    """

    only_encodes: ClassVar[bool] = True
    judges_data: ClassVar[bool] = False
    type: Literal["general"] = "general"
    sets: tuple[GeneralSet, ...] = Field(("everyday",), min_length=1, validate_default=True)
    """The sets: a source's type that needs no keys (everyday), a folder in BEIR layout by its path, a set of NanoBEIR
    by its name (NanoSciFact), or any source, as in {type: beir, path: ./fiqa} or {name: fiqa, source: …, split: dev}.
    """
    metric: str = Field("ndcg@10", pattern=r"^(accuracy|hit_rate|precision|recall|mrr|ndcg|map)@[1-9]\d*$")
    """What is measured on each set, as `information_retrieval` does."""
    gains: Literal["binary", "graded"] = "binary"
    """What a document is worth to nDCG: 1 if relevant, or its judged score."""
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] | None = None
    """How vectors are compared; by default as the model says."""
    clusters: Clusters = "document"
    """What makes queries one independent unit: document, source or none, as for `information_retrieval`."""
    batch_size: Annotated[int, Unkeyed] = Field(32, ge=1)
    """Texts encoded at once."""
    require: Annotated[tuple[DropLimit, ...], Unkeyed] = ()
    """Limits that fail the run, as in {max_drop: 0.02}: no set worse by more than that."""

    def evaluate(self, ctx: Context, data: RetrievalSet, encoder: Encoder) -> Scores:  # noqa: ARG002 - it brings its own
        from embedrun_plugins.stages.evaluators import trec_files

        per_query: dict[str, dict[str, float]] = {}
        metrics: dict[str, float] = {}
        units: dict[str, int] = {}
        for part in self.sets:
            task = task_of(part, ctx, graded=self.gains == "graded")
            for warning in task.warnings:
                ctx.warn(f"{part.name}: {warning}")
            retrieved = self._retrieved(encoder, task, partial(_progress, ctx, part.name), ctx.state / "vectors")
            values = self._measured(task, retrieved)
            name = self._metric_of(part)
            metrics[name] = float(values.mean())
            per_query[name] = {f"{part.name}/{query}": value for query, value in task.by_query_id(values).items()}
            grouped = QueryUnits.of(task, self.clusters).units
            units |= {f"{part.name}/{query}": len(units) + unit for query, unit in grouped.items()}
            ctx.note(part.name, {"queries": len(task.queries), "documents": len(task.documents)})
            trec_files.write_run(ctx.out / f"run.{part.name}.trec", task, retrieved)
            trec_files.write_qrels(ctx.out / f"qrels.{part.name}.trec", task)
        QueryUnits(self.clusters, units).write(ctx.out)
        return Scores.write(ctx.out, metrics, per_query)

    def score(self, model: SentenceTransformer, data: RetrievalSet, split: Split) -> dict[str, float]:  # noqa: ARG002 - it brings its own
        silent: Progress = _silent
        return {
            self._metric_of(part): float(self._measured(task, self._retrieved(model, task, silent)).mean())
            for part, task in self.tasks
        }

    @cached_property
    def tasks(self) -> list[tuple[GeneralSet, Task]]:
        """The sets as they are asked in the middle of other work, read once."""
        ctx = Context(out=Path(), state=Path())
        return [(part, task_of(part, ctx, graded=self.gains == "graded")) for part in self.sets]

    def metrics(self) -> frozenset[str]:
        return frozenset(self._metric_of(part) for part in self.sets)

    def compare(self, ctx: Context, scores: Mapping[str, Scores]) -> Comparison:
        return comparison(ctx, scores, EQUAL)

    def unmet(self, scores: Mapping[str, Scores], comparison: Comparison | None) -> Iterable[str]:
        metrics = {part.name: self._metric_of(part) for part in self.sets}
        for limit in self.require:
            yield from limit.unmet(metrics, scores, comparison)

    def faults(self) -> Iterator[str]:
        names = Counter(part.name for part in self.sets)
        for name in (name for name, count in names.items() if count > 1):
            yield f"sets: two are called '{name}'; name one of them: {{name: …, source: …}}"
        for part in self.sets:
            splits = part.source.splits_given()
            if splits is not None and part.split not in splits:
                have = ", ".join(sorted(splits)) or "no judged queries"
                yield f"sets: '{part.name}' has {have}, but its '{part.split}' split is asked"
            if part.source.uses_model():
                yield f"sets: '{part.name}': a source that reads the model cannot be one of these"
            yield from (f"sets: '{part.name}': {fault}" for fault in part.source.faults())
        for limit in self.require:
            yield from limit.faults(names)

    def needs(self) -> Mapping[str, str]:
        return {module: extra for part in self.sets for module, extra in part.source.needs().items()}

    def inputs(self) -> Iterable[Path]:
        return [path for part in self.sets for path in part.source.inputs()]

    def resolve(self, resolver: Resolver) -> Self:
        return self._with_sources([part.source.resolve(resolver) for part in self.sets])

    def fetch(self, resolver: Resolver) -> None:
        for part in self.sets:
            part.source.fetch(resolver)

    def reaches(self) -> Iterable[str]:
        return [url for part in self.sets for url in part.source.reaches()]

    def variables(self) -> Iterable[str]:
        return [name for part in self.sets for name in part.source.variables()]

    def rehearsal(self, rehearsal: Rehearsal) -> General:
        """Return the evaluator with a few queries of each set, as its source's own rehearsal reads them."""
        sources = []
        for part in self.sets:
            inside = Rehearsal(rehearsal.folder / part.name)
            inside.folder.mkdir()
            sources.append(part.source.rehearsal(inside))
            for note in inside.notes:
                rehearsal.note(f"{part.name}: {note.sentence}", unsure=note.unsure)
        return self._with_sources(sources)

    def _with_sources(self, sources: Sequence[object]) -> Self:
        parts = zip(self.sets, sources, strict=True)
        return changed(self, sets=tuple(part.model_copy(update={"source": source}) for part, source in parts))

    def _metric_of(self, part: GeneralSet) -> str:
        return f"{part.name}_{self.metric}"

    def _retrieved(self, model: Encoder, task: Task, progress: Progress, shards: Path | None = None) -> Retrieved:
        from embedrun_plugins.stages.evaluators.retrieval_evaluator import TREC_DEPTH
        from embedrun_plugins.stages.evaluators.retrieval_task import EncodingOptions, retrieve

        by_size = retrieve(
            model,
            task,
            depth=max(TREC_DEPTH, int(self.metric.partition("@")[2])),
            dimensions=(),
            similarity=self.similarity,
            encoding=EncodingOptions(self.batch_size, shards),
            progress=progress,
        )
        return by_size[""]

    def _measured(self, task: Task, retrieved: Retrieved) -> NDArray[np.float64]:
        """Return the metric's values (queries,)."""
        from embedrun_plugins.stages.evaluators.metrics import MEASURES

        name, _, cutoff = self.metric.partition("@")
        return MEASURES[name](task.judge(retrieved), int(cutoff))


def _progress(ctx: Context, name: str, label: str, done: float, total: float) -> None:
    ctx.progress(f"{name}: {label}", done, total)


def _silent(label: str, done: float, total: float) -> None:
    """Show nothing."""
