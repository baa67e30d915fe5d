"""What the generators that ask a language model share."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

from pydantic import Field

from embedrun.artifacts import Document, RetrievalSet, Split
from embedrun.context import Context, Unkeyed
from embedrun.errors import DataError
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.services.language_models.budget import Allowance, Budget
from embedrun_plugins.services.language_models.llm_service import LanguageModelService, Request, likely_input_tokens
from embedrun_plugins.services.language_models.prices import TokenPrice
from embedrun_plugins.services.language_models.request_runner import RequestRunner
from embedrun_plugins.stages.generators import question_set, question_tasks
from embedrun_plugins.stages.generators.likely_set import LikelySet
from embedrun_plugins.stages.generators.question_set import AskedQuestions
from embedrun_plugins.stages.generators.question_settings import QuestionSettings
from embedrun_plugins.stages.generators.question_tasks import QuestionRequests, QuestionTask
from embedrun_plugins.stages.generators.replies import ReplyReader

_LIKELY_OUTPUT = 25
"""Tokens of a question, with its number."""


class LanguageModel(QuestionSettings):
    """Asks a language model for questions that each passage answers."""

    splits: tuple[Split, ...] | None = Field(None, min_length=1)
    """Splits to ask for. A passage's is what its source says (metadata: asked, else split), else train. By default
    train, and dev and test where they have no questions yet."""
    limit: int | None = Field(None, ge=1)
    """Passages asked about, drawn at random, to try a prompt out; a larger number later takes the same ones and more,
    and pays only for these. By default all."""
    keep_meta_questions: bool = False
    """Whether to keep questions that only make sense with the passage at hand ("according to the text", …)."""
    attempts: int = Field(2, ge=1, le=5)
    """Requests for a passage at most: one whose reply holds no usable question is asked about again."""
    price: Annotated[TokenPrice | None, Unkeyed] = None
    """US dollars for a million tokens, as in {input: 2.65, output: 3.5}. By default as listed for well-known models."""
    budget: Annotated[float | None, Unkeyed] = Field(None, gt=0)
    """US dollars that the questions may cost in all, what earlier runs paid for included, and what failed attempts may
    have cost. The run stops before a request that might exceed it; with a raised budget it goes on from there."""
    budget_tokens: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """The same in tokens, in and out."""
    budget_calls: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """The same in requests."""
    max_failed: float = Field(0.05, ge=0, le=1)
    """Share of the requests that may fail, after their retries, before the run stops; their passages get no
    questions."""
    concurrency: Annotated[int, Unkeyed] = Field(8, ge=1, le=256)
    """Requests under way at once."""

    @abstractmethod
    def connect(self) -> LanguageModelService:
        """Return the service to ask. Raises UserError where it cannot be reached at all."""

    def known_price(self) -> TokenPrice | None:
        """Return the price, as given or as listed."""
        return self.price

    def price_share(self) -> float:
        """Return the part of the price that most requests will be charged at."""
        return 1.0

    def stays_here(self) -> bool:
        """Say whether the service runs on this machine."""
        return False

    def batches(self, runner: RequestRunner, missing: Sequence[Request]) -> None:
        """Answer many requests at once, where the service can."""

    def faults(self) -> Iterable[str]:
        yield from super().faults()
        if self.budget is not None and self.known_price() is None:
            yield (
                f"budget: the price of '{self.model}' is not known; give price: {{input: …, output: …}} in US dollars "
                "for a million tokens, or limit budget_tokens or budget_calls instead"
            )

    def forecast(self, data: RetrievalSet | None) -> Mapping[str, object]:
        """Estimate a first run's cost, at four characters a token and 25 tokens a question."""
        if data is None:
            return {}
        passages = question_set.sample(question_set.asked_about(data, self.splits), self.limit, 0)
        requests = QuestionRequests(self, (), self.words).all(question_tasks.likely_tasks(self, passages))
        read = sum(map(likely_input_tokens, requests))
        written = len(requests) * min(self.questions_per_passage * _LIKELY_OUTPUT, self.max_tokens)
        price = self.known_price()
        cost = {"USD": f"about {price.of(read, written) * self.price_share():.2g}"} if price else {}
        return {"requests": len(requests), "tokens in": f"about {read:,}", "tokens out": f"about {written:,}", **cost}

    def likely_set(self, data: RetrievalSet) -> RetrievalSet:
        """Return a set with as many questions as are asked for, to estimate what follows."""
        passages = question_set.sample(question_set.asked_about(data, self.splits), self.limit, 0)
        return LikelySet(data.path, question_tasks.likely_tasks(self, passages), self.questions_per_passage)

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        pool = question_set.asked_about(data, self.splits)
        passages = question_set.sample(pool, self.limit, ctx.seed)
        if not passages:
            raise DataError(f"there is no passage to ask about; the set has {len(data.documents):,} documents")
        tasks = question_tasks.tasks(self, ctx, passages, pool)
        runner = self._runner(ctx)
        reader = ReplyReader(self.questions_per_passage, self.keep_meta_questions)
        questions = self._ask(runner, tasks, reader)
        if not any(questions):
            raise DataError(f"none of {len(tasks):,} replies holds a question ({reader.summary}); try another prompt")
        result = question_set.publish_all(
            ctx,
            data,
            [
                AskedQuestions(task.passages, texts, {"generator": self.model, **task.metadata})
                for task, texts in zip(tasks, questions, strict=True)
            ],
        )
        question_tasks.note(ctx, tasks, questions)
        ctx.note("passages_asked_about", len(tasks))
        self._report(ctx, runner, reader.tally, [passage.document for passage in passages])
        return result

    def _runner(self, ctx: Context) -> RequestRunner:
        return RequestRunner(
            ctx,
            Answers.of(ctx),
            Budget(self.known_price(), Allowance(self.budget, self.budget_tokens, self.budget_calls), self.max_tokens),
            self.connect,
            concurrency=self.concurrency,
            max_failed=self.max_failed,
            stays_here=self.stays_here(),
            in_batches=self.batches,
        )

    def _ask(self, runner: RequestRunner, tasks: Sequence[QuestionTask], reader: ReplyReader) -> list[list[str]]:
        """Return the questions of each task, asking again where none can be used."""
        requests = QuestionRequests.of(self)
        questions: list[list[str]] = [[] for _ in tasks]
        unanswered = list(range(len(tasks)))
        for attempt in range(self.attempts):  # so that the budget knows what was paid for
            runner.recall(requests.all(tasks, attempt))
        for attempt in range(self.attempts):
            label = "questions" if attempt == 0 else f"questions, attempt {attempt + 1}"
            replies = runner.replies(requests.all((tasks[index] for index in unanswered), attempt), label)
            again = []
            for index, reply in zip(unanswered, replies, strict=True):
                usable = reader.read(reply, last=attempt + 1 == self.attempts)
                if usable is None:
                    again.append(index)
                else:
                    questions[index] = usable
            unanswered = again
        reader.tally["too_few"] = sum(0 < len(usable) < self.questions_per_passage for usable in questions)
        reader.tally["passages_without"] = sum(not usable for usable in questions)
        return questions

    def _report(self, ctx: Context, runner: RequestRunner, tally: Counter[str], documents: Sequence[Document]) -> None:
        budget = runner.budget
        ctx.note("requests_sent", runner.sent)
        ctx.note("answers_reused", runner.reused)
        if budget.price:
            ctx.note("usd", round(budget.usd, 4))
        tally["failed"] = runner.failed
        tally["cut"] = sum(len(document.text.strip()) > self.max_passage_characters for document in documents)
        for name, count in sorted(tally.items()):
            ctx.note(name, count)
        ctx.note("input_tokens", budget.input_tokens)
        ctx.note("output_tokens", budget.output_tokens)
        if tally["passages_without"]:
            ctx.warn(f"{tally['passages_without']:,} of {len(documents):,} passages got no question")
        if tally["cut"]:
            ctx.warn(f"{tally['cut']:,} passages were cut at {self.max_passage_characters:,} characters")
