"""Questions that a language model finds bad."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from embedrun.artifacts import Judgement, RetrievalSet, Split
from embedrun.context import Context, InputPath
from embedrun.rehearsal import Rehearsal
from embedrun.stages import Filter
from embedrun_plugins.results.query_metadata import PASSAGES_NEEDED
from embedrun_plugins.services.language_models.llm_service import LanguageModelService, likely_input_tokens
from embedrun_plugins.services.language_models.request_runner import RequestRunner
from embedrun_plugins.stages.filters import judge_labels, judge_request
from embedrun_plugins.stages.filters.base_filter import FilterResult, shown
from embedrun_plugins.stages.filters.judge_labels import HumanLabel
from embedrun_plugins.stages.filters.judge_request import QuestionScore
from embedrun_plugins.stages.filters.judge_service import BestScore, LanguageModelFilter, note_cost
from embedrun_plugins.stages.rehearsal.stand_ins import standing_in
from embedrun_plugins.stages.texts.keys import joined
from embedrun_plugins.stages.texts.prompt_variables import PromptVariables

_LIKELY_OUTPUT = 10
"""Tokens of a score in JSON."""
_ATTEMPTS = 2
"""A reply without a score is asked for once again."""


@dataclass(frozen=True)
class JudgedQuestion:
    """A question and what should answer it: a passage, or several together."""

    split: Split
    query_id: str
    documents: tuple[str, ...]
    question: str
    passages: tuple[str, ...]


class Judge(LanguageModelFilter):
    """Asks a language model how good each question is for its passage, and takes out what scores below a threshold.

    A question that several passages answer only together is judged once, with all of them. A reply that holds no score
    is asked for once again. Every reply is kept: a run that was interrupted pays only for what is missing. With
    `labels` it tells how far the judge agrees with people, which is what its scores are worth.
    """

    type: Literal["judge"] = "judge"
    threshold: float = 4
    """Questions that score less are taken out."""
    scale: tuple[int, int] = (1, 5)
    """Lowest and highest score that the model is asked for."""
    prompt: str | None = None
    """The prompt, with {question} and {passage}, and {lowest} and {highest} where you like. It should ask for JSON:
    {"score": …}. By default one that asks whether people would ask it, whether it is clear and whether it is
    answered."""
    system: str = judge_request.SYSTEM
    """The system prompt; "" for a model that takes none."""
    unjudged: Literal["drop", "keep"] = "drop"
    """What becomes of questions whose judgement is malformed twice, refused, or failed."""
    labels: InputPath | None = None
    """A CSV, TSV or JSON-lines file in which people said of some questions whether they are good: columns question,
    passage (its text or id) and label (yes or no, or a score). The judge is asked about these, too."""

    def inputs(self) -> Iterable[Path]:
        return filter(None, [self.labels])

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.scale[0] >= self.scale[1]:
            yield f"scale: the lowest score ({self.scale[0]}) must be below the highest ({self.scale[1]})"
        elif not self.scale[0] < self.threshold <= self.scale[1]:
            yield (
                f"threshold: {self.threshold:g} would keep all or nothing; it must be above {self.scale[0]} and at "
                f"most {self.scale[1]}, as 'scale' says"
            )
        if self.prompt is not None:
            variables = PromptVariables(judge_request.VARIABLES, judge_request.MEANT, ("question", "passage"))
            yield from (f"prompt: {fault}" for fault in variables.faults(self.prompt))

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Estimate a first run's cost, at four characters a token, labels not counted."""
        if data is None:
            return {}
        requests = [self.request(self.system, self._prompt(item, 0)) for item in self._items(data)]
        read, written = sum(map(likely_input_tokens, requests)), len(requests) * _LIKELY_OUTPUT
        price = self.known_price()
        cost = {"USD": f"about {price.of(read, written):.2g}"} if price else {}
        return {"requests": len(requests), "tokens in": f"about {read:,}", "tokens out": f"about {written:,}", **cost}

    def rehearsal(self, rehearsal: Rehearsal) -> Filter:
        """Return the filter with replies made here, and note what credentials it would miss."""
        from embedrun_plugins.stages.rehearsal.lenient import lenient_filter

        self.note_unasked(rehearsal, "every question gets the best score here, by the recipe's own prompt")
        return lenient_filter(standing_in(_Judge, self))

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        items = list(self._items(data))
        labels = judge_labels.read(self.labels, data, self.scale, self.threshold) if self.labels else []
        labelled = [JudgedQuestion("train", "", (), label.question, (label.passage,)) for label in labels]
        runner, tally = self.runner(ctx), Counter[str]()
        self._recall(runner, [*labelled, *items])
        people = self._verdicts(runner, labelled, "labelled questions", Counter())
        if labels:
            self._note_agreement(ctx, labels, people)
        verdicts = self._verdicts(runner, items, "questions", tally)
        dropped = [(item, verdict) for item, verdict in zip(items, verdicts, strict=True) if not self._keeps(verdict)]
        self._note(ctx, items, verdicts, tally)
        note_cost(ctx, runner)
        qrels = {split: list(_left(data.qrels(split), split, [item for item, _ in dropped])) for split in data.splits}
        examples: list[object] = [
            {"query": shown(item.question), "passage": shown(item.passages[0]), "score": verdict.score}
            for item, verdict in dropped
        ]
        left = FilterResult(qrels, data.documents.values(), data.negatives(), examples)
        return self.publish(ctx, data, left, f"lower threshold, which is {self.threshold:g}")

    def _items(self, data: RetrievalSet) -> Iterator[JudgedQuestion]:
        """Yield what is judged: each question with each of its passages, or with all that it needs."""
        for split in (split for split in data.splits if split in self.splits):
            for query_id, relevant in data.relevant(split).items():
                query = data.queries[query_id]
                known = [document for document in relevant if document in data.documents]
                together = query.metadata.get(PASSAGES_NEEDED) and len(known) > 1
                for documents in [tuple(known)] if together else [(document,) for document in known]:
                    texts = tuple(data.documents[document].full_text for document in documents)
                    yield JudgedQuestion(split, query_id, documents, query.text, texts)

    def _prompt(self, item: JudgedQuestion, attempt: int) -> str:
        return judge_request.prompt(self.prompt, item.question, item.passages, self.scale, attempt)

    def _recall(self, runner: RequestRunner, items: Sequence[JudgedQuestion]) -> None:
        """Let the budget know what was paid for."""
        for attempt in range(_ATTEMPTS):
            runner.recall([self.request(self.system, self._prompt(item, attempt)) for item in items])

    def _verdicts(
        self, runner: RequestRunner, items: Sequence[JudgedQuestion], label: str, tally: Counter[str]
    ) -> list[QuestionScore]:
        """Return the verdict on each, asking once again where the reply is malformed."""
        verdicts: dict[int, QuestionScore] = {}
        waiting = list(range(len(items)))
        for attempt in range(_ATTEMPTS):
            requests = [self.request(self.system, self._prompt(items[index], attempt)) for index in waiting]
            named = f"judge {label}" if attempt == 0 else f"judge {label} again"
            replies = runner.replies(requests, named)
            verdicts |= {
                index: judge_request.verdict(reply, self.scale) for index, reply in zip(waiting, replies, strict=True)
            }
            waiting = [index for index in waiting if verdicts[index].why == "malformed"]
            tally["asked_again"] += len(waiting) if attempt + 1 < _ATTEMPTS else 0
        return [verdicts[index] for index in range(len(items))]

    def _keeps(self, verdict: QuestionScore) -> bool:
        return self.unjudged == "keep" if verdict.score is None else verdict.score >= self.threshold

    def _note(
        self, ctx: Context, items: Sequence[JudgedQuestion], verdicts: Sequence[QuestionScore], tally: Counter[str]
    ) -> None:
        """Note how many were judged how."""
        ctx.note("judged", len(items))
        ctx.note("below_threshold", sum(v.score is not None and v.score < self.threshold for v in verdicts))
        for why in ("malformed", "refused", "failed"):
            ctx.note(why, sum(verdict.why == why for verdict in verdicts))
        ctx.note("asked_again", tally["asked_again"])
        scores = Counter(f"{verdict.score:g}" for verdict in verdicts if verdict.score is not None)
        ctx.note("scores", dict(sorted(scores.items(), key=lambda item: float(item[0]))))
        if without := sum(verdict.score is None for verdict in verdicts):
            done = "taken out" if self.unjudged == "drop" else "kept"
            ctx.warn(f"{without:,} of {len(items):,} questions got no judgement (malformed, refused or failed): {done}")

    def _note_agreement(self, ctx: Context, labels: Sequence[HumanLabel], verdicts: Sequence[QuestionScore]) -> None:
        """Note how far the judge agrees with people; labels on one question or passage are no independent ones."""
        from embedrun_plugins.results.agreement import agreement

        pairs = [(label, verdict) for label, verdict in zip(labels, verdicts, strict=True) if verdict.score is not None]
        if not pairs:
            ctx.warn(f"none of {len(labels):,} labelled questions got a judgement: agreement with people is not known")
            return
        units = joined([[("question", label.question), ("passage", label.passage)] for label, _ in pairs])
        people, judge = [label.good for label, _ in pairs], [self._keeps(verdict) for _, verdict in pairs]
        result = agreement(people, judge, units)
        if result.kappa is not None:
            interval = f"95% interval {result.kappa_low:.2f} to {result.kappa_high:.2f}"
            ctx.note("kappa", f"{result.kappa:.2f} ({interval})")
            if (result.kappa_low or 0) <= 0:
                ctx.warn(
                    f"on {result.labels:,} labels the judge is not shown to agree with people beyond chance (Cohen's "
                    f"kappa {result.kappa:.2f}, {interval}); change its prompt, model or threshold, or label more"
                )
        ctx.note("agreement", {**asdict(result), "unjudged": len(labels) - len(pairs)})


def _left(judgements: Iterable[Judgement], split: Split, dropped: Sequence[JudgedQuestion]) -> Iterator[Judgement]:
    """Yield the judgements that stay: of a query that keeps no relevant passage, none."""
    gone = {(item.query_id, document) for item in dropped if item.split == split for document in item.documents}
    rest = [line for line in judgements if (line.query_id, line.document_id) not in gone]
    relevant = {line.query_id for line in rest if line.score > 0}
    emptied = {query for query, _ in gone} - relevant
    yield from (line for line in rest if line.query_id not in emptied)


class _Judge(Judge):
    """Asks nobody."""

    def connect(self) -> LanguageModelService:
        return BestScore(self.scale[1])

    def stays_here(self) -> bool:
        return True

    def _note_agreement(self, *_: object) -> None:
        """Say nothing of people, since nobody judges."""
