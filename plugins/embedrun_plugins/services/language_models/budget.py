"""What asking costs, and the budget that it must stay within."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from embedrun.errors import StageError
from embedrun_plugins.services.language_models.llm_service import Reply, Request, most_input_tokens
from embedrun_plugins.services.language_models.prices import TokenPrice

_REFUSED = 4
"""First digit of the HTTP statuses with which a service refuses a request."""


@dataclass(frozen=True)
class Allowance:
    """The most that all requests of a stage may take together, those answered in earlier runs included."""

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None


class OverBudgetError(StageError):
    """The next request might exceed the budget."""


def _unnoted(attempts: int, charged: int) -> None:
    """Write nothing down."""


@dataclass(eq=False)
class Hold:
    """What is set aside for a request under way: the tokens and dollars that one attempt at it takes at most."""

    budget: Budget
    tokens: int
    usd: float
    note: Callable[[int, int], None] = _unnoted
    """Writes down so many more attempts without an answer, and so many of them that may be charged."""
    announced: bool = False
    """Whether the service says when it sends."""
    under_way: bool = False
    refused: bool = False
    """Whether the last attempt was answered by 4xx, for which nobody charges tokens."""

    def sending(self) -> None:
        """Count an attempt. Raises OverBudgetError where the last one failed and another does not fit the budget."""
        self.announced = True
        if self.under_way:
            self.under_way = False
            self.budget.renew(self)
        self.under_way = True
        self.note(1, 1)

    def unsent(self) -> None:
        """Take the last attempt back."""
        self.under_way = False
        self.note(-1, -1)

    def answered(self, status: int) -> bool:
        """Take note of an answer's status; return whether the budget has room for another attempt."""
        self.refused = status // 100 == _REFUSED
        if self.refused:
            self.note(0, -1)
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
    failed_calls: int = 0
    failed_tokens: int = 0
    """What failed attempts took at most, those of earlier runs included."""
    usd: float = 0.0
    _held: list[Hold] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def worst(self, request: Request) -> tuple[int, float]:
        """Return the tokens and dollars that a request can take at most."""
        read = most_input_tokens(request)
        return read + self.most_output, self.price.of(read, self.most_output) if self.price else 0.0

    def hold(self, request: Request, note: Callable[[int, int], None] = _unnoted) -> Hold:
        """Set the worst case aside, waiting for requests under way where these may leave enough.

        `note` writes down attempts without an answer. Raises OverBudgetError where nothing is under way and it does
        not fit.
        """
        hold = Hold(self, *self.worst(request), note)
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
            failed = hold in self._held and (hold.under_way or not hold.announced)
            if reply:
                self._count(reply)
            if failed and not reply:
                self._fail(hold)
            elif hold in self._held:
                self._held.remove(hold)
            self._changed.notify_all()
        if reply and hold.under_way:
            hold.note(-1, 0 if hold.refused else -1)
        elif failed and not reply and not hold.announced:
            hold.note(1, 1)

    def count(self, reply: Reply) -> None:
        """Count a reply that was kept, or that came in a batch."""
        with self._changed:
            self._count(reply)

    def count_failed(self, request: Request, attempts: int, charged: int) -> None:
        """Count attempts that failed in earlier runs, and as their worst case those that may be charged."""
        tokens, usd = self.worst(request)
        with self._changed:
            self.calls += attempts
            self.failed_calls += attempts
            self.failed_tokens += charged * tokens
            self.usd += charged * usd

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
        self.failed_calls += 1
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
        failed = f"; {self.failed_calls:,} attempts failed, which count, too" if self.failed_calls else ""
        return f"stopped before the budget is exceeded ({reason}{failed})"

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
