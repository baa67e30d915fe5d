"""What asking costs, and the budget that it must stay within."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field

from embedrun.errors import StageError
from embedrun_plugins.stages.generators.llm_service import Reply, Request, most_input_tokens

_PREFIXES = ("us.", "eu.", "apac.", "global.", "jp.", "au.", "us-gov.")
_REFUSED = 4
"""First digit of the HTTP statuses with which a service refuses a request."""


class TokenPrice(BaseModel):
    """US dollars for a million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    input: float = Field(ge=0)
    """For a million tokens of the requests."""
    output: float = Field(ge=0)
    """For a million tokens of the replies."""

    def of(self, input_tokens: int, output_tokens: int) -> float:
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


BEDROCK_PRICES: Mapping[str, TokenPrice] = {
    name: TokenPrice(input=given, output=taken)
    for name, given, taken in (
        ("meta.llama3-70b-instruct-v1:0", 2.65, 3.50),
        ("meta.llama3-8b-instruct-v1:0", 0.30, 0.60),
        ("meta.llama3-1-70b-instruct-v1:0", 0.72, 0.72),
        ("meta.llama3-1-8b-instruct-v1:0", 0.22, 0.22),
        ("meta.llama3-3-70b-instruct-v1:0", 0.72, 0.72),
        ("amazon.nova-micro-v1:0", 0.035, 0.14),
        ("amazon.nova-lite-v1:0", 0.06, 0.24),
        ("amazon.nova-pro-v1:0", 0.80, 3.20),
        ("anthropic.claude-3-haiku-20240307-v1:0", 0.25, 1.25),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", 0.80, 4.00),
    )
}
"""On demand in us-east-1, as widely listed in September 2026; other regions differ, and prices change."""


def bedrock_price(model: str) -> TokenPrice | None:
    """Return the listed price of a model or of a regional inference profile for it."""
    for prefix in _PREFIXES:
        model = model.removeprefix(prefix)
    return BEDROCK_PRICES.get(model)


@dataclass(frozen=True)
class Allowance:
    """The most that all requests of a stage may take together, those answered in earlier runs included."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


class OverBudgetError(StageError):
    """The next request might exceed the budget."""


@dataclass(eq=False)
class Hold:
    """What is set aside for a request under way: the tokens and dollars that one attempt at it takes at most."""

    budget: Budget
    tokens: int
    usd: float
    sent: int = 0
    refused: bool = False
    """Whether the last attempt was answered by 4xx, for which nobody charges tokens."""

    def sending(self) -> None:
        """Count an attempt. Raises OverBudgetError where it is not the first and does not fit the budget."""
        if self.sent:
            self.budget.renew(self)
        self.sent += 1

    def answered(self, status: int) -> bool:
        """Take note of an answer's status; return whether the budget has room for another attempt."""
        self.refused = status // 100 == _REFUSED
        return self.budget.has_room(self)


@dataclass
class Budget:
    """Counts what was spent, and lets a request through only if its worst case fits the budget.

    The worst case is as many input tokens as the request has bytes, and the most output tokens allowed. An attempt that
    failed counts as a request and, unless it was refused, as its worst case: the service may charge it.
    """

    price: TokenPrice | None
    allowance: Allowance
    most_output: int
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failed_tokens: int = 0
    """What failed attempts took at most."""
    usd: float = 0.0
    _held: list[Hold] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def worst(self, request: Request) -> tuple[int, float]:
        """Return the tokens and dollars that a request can take at most."""
        read = most_input_tokens(request)
        return read + self.most_output, self.price.of(read, self.most_output) if self.price else 0.0

    def hold(self, request: Request) -> Hold:
        """Set the worst case aside, waiting for requests under way where these may leave enough.

        Raises OverBudgetError where nothing is under way and it does not fit.
        """
        hold = Hold(self, *self.worst(request))
        with self._changed:
            while reason := self._excess(hold.tokens, hold.usd, 1):
                if not self._held or self._closed:
                    raise OverBudgetError(self._refusal(reason))
                self._changed.wait()
            self._held.append(hold)
        return hold

    def has_room(self, hold: Hold) -> bool:
        """Say whether, if the attempt under way fails, the budget has room for another."""
        with self._changed:
            return self._excess(hold.tokens, hold.usd, 1) is None

    def renew(self, hold: Hold) -> None:
        """Count the attempt under way as failed, and set the worst case of the next one aside.

        Raises OverBudgetError where it does not fit.
        """
        with self._changed:
            self._fail(hold)
            reason = self._excess(hold.tokens, hold.usd, 1)
            if reason is None:
                self._held.append(hold)
            self._changed.notify_all()
        if reason:
            raise OverBudgetError(self._refusal(reason))

    def close(self) -> None:
        """Let nothing through that waits for requests under way."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def release(self, hold: Hold, reply: Reply | None) -> None:
        """Replace what was set aside by what it took; the worst case where the request failed."""
        with self._changed:
            if reply:
                self._held.remove(hold)
                self._count(reply)
            elif hold in self._held:
                self._fail(hold)
            self._changed.notify_all()

    def count(self, reply: Reply) -> None:
        """Count a reply that was kept, or that came in a batch."""
        with self._changed:
            self._count(reply)

    def require(self, requests: list[Request], share: float) -> None:
        """Raise OverBudgetError where the worst case of all these together, at a share of the price, does not fit."""
        worst = [self.worst(request) for request in requests]
        tokens, usd = sum(tokens for tokens, _ in worst), sum(usd for _, usd in worst) * share
        with self._changed:
            if reason := self._excess(tokens, usd, len(requests)):
                raise OverBudgetError(self._refusal(reason))

    def _count(self, reply: Reply) -> None:
        self.calls += 1
        self.input_tokens += reply.input_tokens
        self.output_tokens += reply.output_tokens
        if self.price:
            self.usd += self.price.of(reply.input_tokens, reply.output_tokens) * reply.share

    def _fail(self, hold: Hold) -> None:
        self._held.remove(hold)
        self.calls += 1
        if not hold.refused:
            self.failed_tokens += hold.tokens
            self.usd += hold.usd
        hold.refused = False

    def _excess(self, tokens: int, usd: float, calls: int) -> str | None:
        """Say which limit so much more might exceed, or None."""
        spent = self.usd + sum(hold.usd for hold in self._held)
        used = self.tokens + sum(hold.tokens for hold in self._held)
        limits = (
            ("budget", "{:.4g} USD", spent, usd, self.allowance.usd),
            ("budget_tokens", "{:,} tokens", used, tokens, self.allowance.tokens),
            ("budget_calls", "{:,} requests", self.calls + len(self._held), calls, self.allowance.calls),
        )
        for key, form, before, more, limit in limits:
            if limit is not None and before + more > limit:
                amounts = [form.format(value) for value in (limit, before, more)]
                return f"{key}: {amounts[0]} are allowed, {amounts[1]} are spent, the next call may take {amounts[2]}"
        return None

    def _refusal(self, reason: str) -> str:
        return f"stopped before the budget is exceeded ({reason})"

    @property
    def tokens(self) -> int:
        """All tokens that were taken, those of failed attempts at most."""
        return self.input_tokens + self.output_tokens + self.failed_tokens

    @property
    def spent(self) -> str:
        """What was spent so far, for the progress bar."""
        if self.price:
            return f"{self.usd:.2f} USD"
        return f"{self.tokens:,} tokens"
