"""Which language model judges, what it costs, and who asks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from embedrun.context import Context, Unkeyed
from embedrun.rehearsal import Rehearsal
from embedrun_plugins.services import aws
from embedrun_plugins.services.addresses import Address, is_local, sends_in_the_open
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.language_models.budget import Allowance, Budget
from embedrun_plugins.services.language_models.llm_service import LanguageModelService, Reply, Request
from embedrun_plugins.services.language_models.prices import TokenPrice, bedrock_price
from embedrun_plugins.services.language_models.request_runner import RequestRunner
from embedrun_plugins.services.openai import OPENAI, key_variable, too_much
from embedrun_plugins.stages.filters.base_filter import JudgementFilter
from embedrun_plugins.stages.rehearsal.stand_ins import note_missing_aws, note_missing_key

_RUNTIME = "bedrock-runtime"
_OF: Mapping[str, tuple[str, ...]] = {
    "openai": ("base_url", "api_key_env"),
    "bedrock": ("region", "profile", "endpoint_url"),
}
"""Fields that only one service has."""


class LanguageModelFilter(JudgementFilter):
    """A filter that asks a language model."""

    service: Literal["openai", "bedrock"]
    """What is asked: a server that speaks OpenAI's chat completions (OpenAI, vLLM, Ollama, TGI …), or Bedrock."""
    model: str = Field(min_length=1)
    """The model's id, as the service names it."""
    base_url: Annotated[Address | None, Unkeyed] = None
    """For openai: the server's address up to /v1; by default OpenAI's own. Replies are kept by the model's name."""
    api_key_env: Annotated[VariableName | None, Unkeyed] = None
    """For openai: environment variable that holds the key; by default OPENAI_API_KEY for OpenAI itself."""
    region: Annotated[str | None, Unkeyed] = None
    """For bedrock: AWS region; by default that of the environment or the profile."""
    profile: Annotated[str | None, Unkeyed] = None
    """For bedrock: profile of the AWS configuration whose credentials are used."""
    endpoint_url: Annotated[Address | None, Unkeyed] = None
    """For bedrock: address of the service, for a private endpoint or a test."""
    max_tokens: int = Field(256, ge=8)
    """Tokens of a reply at most; models that think aloud want more."""
    temperature: float | None = Field(0.0, ge=0, le=2)
    """How freely the model writes; null leaves it to the service, which some models demand."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of the request, as the service names them."""
    price: Annotated[TokenPrice | None, Unkeyed] = None
    """US dollars for a million tokens, as in {input: 2.65, output: 3.5}. By default as listed for well-known models."""
    budget: Annotated[float | None, Unkeyed] = Field(None, gt=0)
    """US dollars that this filter may cost in all, what earlier runs paid for included. The run stops before a request
    that might exceed it; with a raised budget it goes on from there."""
    budget_tokens: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """The same in tokens, in and out."""
    budget_calls: Annotated[int | None, Unkeyed] = Field(None, ge=1)
    """The same in requests."""
    max_failed: float = Field(0.05, ge=0, le=1)
    """Share of the requests that may fail, after their retries, before the run stops."""
    concurrency: Annotated[int, Unkeyed] = Field(8, ge=1, le=256)
    """Requests under way at once."""

    def needs(self) -> Mapping[str, str]:
        return {"openai": "openai"} if self.service == "openai" else {"boto3": "bedrock"}

    def faults(self) -> Iterable[str]:
        for service, names in _OF.items():
            if service != self.service and (foreign := [name for name in names if getattr(self, name)]):
                yield f"{foreign[0]}: belongs to service: {service}, but service is {self.service}"
        if self.base_url and (fault := too_much(self.base_url)):
            yield fault
        if self.budget is not None and self.known_price() is None:
            yield (
                f"budget: the price of '{self.model}' is not known; give price: {{input: …, output: …}} in US dollars "
                "for a million tokens, or limit budget_tokens or budget_calls instead"
            )

    def known_price(self) -> TokenPrice | None:
        """Return the price, as given or as listed."""
        return self.price or (bedrock_price(self.model) if self.service == "bedrock" else None)

    def reaches(self) -> Iterable[str]:
        if self.service == "openai":
            return [self.base_url or OPENAI]
        return [aws.address(_RUNTIME, region=self.region, endpoint_url=self.endpoint_url)]

    def variables(self) -> Iterable[str]:
        if self.service == "openai":
            return filter(None, [key_variable(self.base_url, self.api_key_env)])
        return aws.VARIABLES

    def connect(self) -> LanguageModelService:
        """Return the service to ask. Raises UserError where it cannot be reached at all."""
        if self.service == "openai":
            from embedrun_plugins.services.language_models.openai_chat import Chat
            from embedrun_plugins.services.openai import client

            return Chat(client(self.base_url, api_key_env=self.api_key_env), self.base_url)
        from embedrun_plugins.services.language_models.bedrock_converse import Converse

        return Converse(
            aws.client(
                _RUNTIME,
                region=self.region,
                endpoint_url=self.endpoint_url,
                profile=self.profile,
                connections=self.concurrency,
            )
        )

    def request(self, system: str, prompt: str) -> Request:
        """Return a request, whose hash names the kept answer."""
        values = {"max_tokens": self.max_tokens, "temperature": self.temperature, "extra": self.extra or None}
        parameters = {name: value for name, value in values.items() if value is not None}
        return {
            "service": self.service,
            "model": self.model,
            "system": system,
            "prompt": prompt,
            "parameters": parameters,
        }

    def runner(self, ctx: Context) -> RequestRunner:
        """Return what asks, and keeps and counts the replies."""
        if self.base_url and (doubt := sends_in_the_open(self.base_url, self.api_key_env)):
            ctx.warn(doubt)
        allowance = Allowance(self.budget, self.budget_tokens, self.budget_calls)
        return RequestRunner(
            ctx,
            Answers.of(ctx),
            Budget(self.known_price(), allowance, self.max_tokens),
            self.connect,
            concurrency=self.concurrency,
            max_failed=self.max_failed,
            stays_here=self.stays_here(),
        )

    def stays_here(self) -> bool:
        """Say whether the service runs on this machine."""
        return all(is_local(url) for url in self.reaches())

    def note_unasked(self, rehearsal: Rehearsal, instead: str) -> None:
        """Tell a rehearsal that nobody is asked, and which credentials a run would miss."""
        rehearsal.note(f"{self.model} is not called: {instead}")
        if self.service == "openai":
            note_missing_key(rehearsal, self.base_url, self.api_key_env)
        else:
            note_missing_aws(rehearsal, self.region, self.profile)


def note_cost(ctx: Context, runner: RequestRunner) -> None:
    """Note what asking took."""
    budget = runner.budget
    ctx.note("requests_sent", runner.sent)
    ctx.note("answers_reused", runner.reused)
    if budget.price:
        ctx.note("usd", round(budget.usd, 4))
    ctx.note("input_tokens", budget.input_tokens)
    ctx.note("output_tokens", budget.output_tokens)


class BestScore:
    """Answers as a judge would that likes everything; costs nothing."""

    def __init__(self, score: int) -> None:
        self.score = score

    def ask(self, request: Request) -> Reply:  # noqa: ARG002  # whatever it is
        return Reply(f'{{"score": {self.score}}}')
