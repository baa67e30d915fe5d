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
from embedrun_plugins.stages.generators import prompt_template, question_set
from embedrun_plugins.stages.generators.budget import Allowance, Budget
from embedrun_plugins.stages.generators.llm_service import LanguageModelService, Request, likely_input_tokens
from embedrun_plugins.stages.generators.prices import TokenPrice
from embedrun_plugins.stages.generators.replies import ReplyReader
from embedrun_plugins.stages.generators.request_runner import RequestRunner

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
        return (self.examples_file,) if self.examples_file else ()

    def faults(self) -> Iterable[str]:
        if self.prompt is not None:
            shown = bool(self.examples or self.examples_file)
            template = prompt_template.Template(self.prompt, examples=shown, language=self.language is not None)
            yield from (f"prompt: {fault}" for fault in template.faults())
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
        requests = self._requests([passage.document for passage in passages], ())
        read = sum(map(likely_input_tokens, requests))
        written = len(requests) * min(self.questions_per_passage * _LIKELY_OUTPUT, self.max_tokens)
        price = self.known_price()
        cost = {"USD": f"about {price.of(read, written) * self.price_share():.2g}"} if price else {}
        return {"requests": len(requests), "tokens in": f"about {read:,}", "tokens out": f"about {written:,}", **cost}

    def run(self, ctx: Context, data: RetrievalSet) -> RetrievalSet:
        passages = question_set.sample(question_set.asked_about(data, self.splits), self.limit, ctx.seed)
        if not passages:
            raise DataError(f"there is no passage to ask about; the set has {len(data.documents):,} documents")
        documents = [passage.document for passage in passages]
        runner = self._runner(ctx)
        reader = ReplyReader(self.questions_per_passage, self.keep_meta_questions)
        questions = self._ask(runner, documents, reader)
        if not any(questions):
            raise DataError(
                f"none of {len(documents):,} replies holds a question ({reader.summary}); try another prompt"
            )
        result = question_set.publish(ctx, data, list(zip(passages, questions, strict=True)), generator=self.model)
        self._report(ctx, runner, reader.tally, documents)
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

    def _ask(self, runner: RequestRunner, documents: Sequence[Document], reader: ReplyReader) -> list[list[str]]:
        """Return the questions about each document, asking again where none can be used."""
        examples = self._examples()
        questions: dict[str, list[str]] = {document.id: [] for document in documents}
        unanswered = list(documents)
        for attempt in range(self.attempts):  # so that the budget knows what was paid for
            runner.recall(self._requests(documents, examples, attempt))
        for attempt in range(self.attempts):
            requests = self._requests(unanswered, examples, attempt)
            label = "questions" if attempt == 0 else f"questions, attempt {attempt + 1}"
            again = []
            for document, reply in zip(unanswered, runner.replies(requests, label), strict=True):
                usable = reader.read(reply, last=attempt + 1 == self.attempts)
                if usable is None:
                    again.append(document)
                else:
                    questions[document.id] = usable
            unanswered = again
        reader.tally["too_few"] = sum(0 < len(usable) < self.questions_per_passage for usable in questions.values())
        reader.tally["passages_without"] = sum(not usable for usable in questions.values())
        return list(questions.values())

    def _requests(self, documents: Sequence[Document], examples: tuple[str, ...], attempt: int = 0) -> list[Request]:
        parameters = dict(self.parameters())
        return [
            {
                "service": self.type,
                "model": self.model,
                "system": self.system,
                "prompt": self._prompt(document, examples, attempt),
                "parameters": parameters,
            }
            for document in documents
        ]

    def _prompt(self, document: Document, examples: tuple[str, ...], attempt: int) -> str:
        text = self.prompt or prompt_template.builtin(
            titled=bool(document.title.strip()),
            examples=examples,
            language=self.language,
            count=self.questions_per_passage,
            json=self.answers_json(),
        )
        values = {
            "passage": self._cut(document.text.strip()),
            "title": document.title.strip(),
            "questions_per_passage": str(self.questions_per_passage),
            "examples": "\n".join(examples),
            "language": self.language or "",
        }
        again = f"\n\n(Request {attempt + 1}: the last reply held no question that is clear without the passage.)"
        return prompt_template.fill(text, values).strip() + (again if attempt else "")

    def _cut(self, text: str) -> str:
        if len(text) <= self.max_passage_characters:
            return text
        cut = text[: self.max_passage_characters]
        return cut[: cut.rfind(" ")] if " " in cut[-200:] else cut

    def _examples(self) -> tuple[str, ...]:
        if self.examples_file is None:
            return self.examples
        try:
            lines = self.examples_file.read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"examples_file: {self.examples_file}: cannot be read as UTF-8 text ({error})") from error
        more = tuple(line.strip() for line in lines if line.strip())
        if not more:
            raise DataError(f"examples_file: {self.examples_file}: holds no line of text")
        return (*self.examples, *more)

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
