"""What the generators that ask a language model share."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from embedrun.artifacts import Document, RetrievalSet, Split
from embedrun.context import Context, InputPath, Unkeyed
from embedrun.errors import DataError
from embedrun.stages import Generator
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.services.language_models.budget import Allowance, Budget
from embedrun_plugins.services.language_models.llm_service import LanguageModelService, Request, likely_input_tokens
from embedrun_plugins.services.language_models.prices import TokenPrice
from embedrun_plugins.services.language_models.request_runner import RequestRunner
from embedrun_plugins.stages.generators import prompt_template, question_set, question_tasks
from embedrun_plugins.stages.generators.multi_hop import MultiHop
from embedrun_plugins.stages.generators.question_set import AskedQuestions
from embedrun_plugins.stages.generators.question_styles import Styles, Words, unset
from embedrun_plugins.stages.generators.question_tasks import QuestionRequests, QuestionTask
from embedrun_plugins.stages.generators.replies import ReplyReader

SYSTEM = "You write the questions that people ask a search engine, so that a retrieval model can be trained on them."
_LIKELY_OUTPUT = 25
"""Tokens of a question, with its number."""


class LanguageModel(Generator):
    """Asks a language model for questions that each passage answers."""

    model: str = Field(min_length=1)
    """The model's id, as the service names it."""
    questions_per_passage: int = Field(2, ge=1, le=50)
    """Questions asked for; what is no question is left out, so there may be fewer."""
    prompt: str | None = None
    """The prompt, with {passage} and {questions_per_passage} where these belong, and {examples} and {language} where
    they are given; {title} may be used, too. Braces around anything else are text. By default a prompt that asks for
    questions which are clear without the passage."""
    system: str = SYSTEM
    """The system prompt; "" for a model that takes none."""
    language: str | None = Field(None, min_length=1)
    """Language to ask in, such as German; by default the passage's."""
    examples: tuple[str, ...] = ()
    """Questions that your users really asked, for the model to write in their style."""
    examples_file: InputPath | None = None
    """A text file with more of them, one a line."""
    styles: Styles = Field(default={}, exclude_if=unset)
    """How to ask, and the share of the passages for each: {factual: 0.5, how_to: 0.2, keyword: 0.2, long_winded: 0.1},
    or a list with equal shares. Known are factual, how_to, comparison, keyword and long_winded; one of your own is a
    name with its instruction, as in {complaint: {share: 0.2, instruction: Write as a customer who …}}. Each query keeps
    the name of its style."""
    words: Words = Field(default={}, exclude_if=unset)
    """Words of your house for the model to use where they fit: a list, or each with its meaning, as in {AFS: available
    for sale}. Of more than 20, a prompt shows those that the passage holds, or whose meaning it holds."""
    words_file: InputPath | None = Field(None, exclude_if=unset)
    """A text file with more of them, one a line, with its meaning after a colon where it has one."""
    multi_hop: MultiHop | None = Field(None, exclude_if=unset)
    """Questions that several similar passages answer only together, each judged relevant: {passages: 2, share: 0.2}. By
    default none."""
    splits: tuple[Split, ...] | None = Field(None, min_length=1)
    """Splits to ask for. A passage's is what its source says (metadata: asked, else split), else train. By default
    train, and dev and test where they have no questions yet."""
    limit: int | None = Field(None, ge=1)
    """Passages asked about, drawn at random, to try a prompt out; a larger number later takes the same ones and more,
    and pays only for these. By default all."""
    max_passage_characters: int = Field(20_000, ge=200)
    """Longer passages are cut there, at a space, for the model to read them at all. 20,000 are about 5,000 tokens."""
    keep_meta_questions: bool = False
    """Whether to keep questions that only make sense with the passage at hand ("according to the text", …)."""
    attempts: int = Field(2, ge=1, le=5)
    """Requests for a passage at most: one whose reply holds no usable question is asked about again."""
    max_tokens: int = Field(512, ge=16)
    """Tokens of a reply at most."""
    temperature: float | None = Field(0.7, ge=0, le=2)
    """How freely the model writes; null leaves it to the service, which some models demand."""
    top_p: float | None = Field(None, gt=0, le=1)
    """Share of the likeliest tokens to choose from; by default left to the service."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, as the service names them."""
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

    def parameters(self) -> Mapping[str, Any]:
        """Return what is sent beside the prompts and can change the answer, as JSON."""
        values = {name: getattr(self, name) for name in ("max_tokens", "temperature", "top_p")}
        return {name: value for name, value in (values | {"extra": self.extra or None}).items() if value is not None}

    def known_price(self) -> TokenPrice | None:
        """Return the price, as given or as listed."""
        return self.price

    def price_share(self) -> float:
        """Return the part of the price that most requests will be charged at."""
        return 1.0

    def stays_here(self) -> bool:
        """Say whether the service runs on this machine."""
        return False

    def answers_json(self) -> bool:
        """Say whether replies are JSON."""
        return False

    def batches(self, runner: RequestRunner, missing: Sequence[Request]) -> None:
        """Answer many requests at once, where the service can."""

    def inputs(self) -> Iterable[Path]:
        return filter(None, (self.examples_file, self.words_file))

    def uses_model(self) -> bool:
        return self.multi_hop is not None and self.multi_hop.by == "model"

    def needs(self) -> Mapping[str, str]:
        by_words = self.multi_hop is not None and self.multi_hop.by == "bm25"
        return {**self.packages, **({"bm25s": "mining"} if by_words else {})}

    def faults(self) -> Iterable[str]:
        prompts = {"prompt": self.prompt, "multi_hop.prompt": self.multi_hop and self.multi_hop.prompt}
        shown = {
            "examples": bool(self.examples or self.examples_file),
            "language": self.language is not None,
            "style": bool(self.styles),
            "words": bool(self.words or self.words_file),
        }
        for name, text in prompts.items():
            if text is not None:
                yield from (f"{name}: {fault}" for fault in prompt_template.Template(text, **shown).faults())
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
            replies = runner.replies(requests.all((tasks[place] for place in unanswered), attempt), label)
            again = []
            for place, reply in zip(unanswered, replies, strict=True):
                usable = reader.read(reply, last=attempt + 1 == self.attempts)
                if usable is None:
                    again.append(place)
                else:
                    questions[place] = usable
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
