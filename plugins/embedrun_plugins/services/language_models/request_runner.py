"""Asking a service many things at once, keeping each reply as soon as it is there."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import cached_property, partial

from embedrun.context import Context
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun.hashing import value_digest
from embedrun_plugins.services.answer_cache import Answers
from embedrun_plugins.services.attempts import counted_by
from embedrun_plugins.services.failed_attempts import FailedAttempts
from embedrun_plugins.services.language_models.budget import Budget, OverBudgetError
from embedrun_plugins.services.language_models.llm_service import LanguageModelService, Reply, Request

_IN_A_ROW = 10
"""So many failures without a success between them stop a run, whatever share is allowed to fail."""


@dataclass
class RequestRunner:
    """Asks what was not answered before.

    A reply is kept before its thread sends the next request. While nothing at all is answered, requests go out one at
    a time, so that a wrong key or address costs one, not thousands.
    """

    ctx: Context
    answers: Answers
    budget: Budget
    connect: Callable[[], LanguageModelService]
    concurrency: int
    max_failed: float
    stays_here: bool
    """Whether the service runs on this machine, so that an offline run may ask it."""
    in_batches: Callable[[RequestRunner, Sequence[Request]], None] | None = None
    """What answers many requests at once; those that it leaves are asked one by one."""
    sent: int = 0
    reused: int = 0
    failed: int = 0
    _asked: int = 0
    """Requests that were to be sent, whatever became of them."""
    _replies: dict[str, Reply] = field(default_factory=dict)
    _in_a_row: int = 0
    _service: LanguageModelService | None = None
    _recalled: set[str] = field(default_factory=set)
    """Requests whose attempts in earlier runs are counted."""

    @cached_property
    def _failed_attempts(self) -> FailedAttempts:
        return FailedAttempts(self.answers)

    def replies(self, requests: Sequence[Request], label: str) -> list[Reply | None]:
        """Return the reply to each request in their order, None where it failed; `label` names them on the bar.

        Raises UserError where nothing can be asked before something is changed; StageError where the next request
        might exceed the budget, the first one fails, or more fail than allowed. What was answered is kept.
        """
        missing = self.recall(requests)
        if missing and self.ctx.offline and not self.stays_here:
            raise UserError(
                f"offline: {len(missing):,} of {len(requests):,} requests have not been answered before; run it once "
                "without --offline"
            )
        if missing and self.in_batches:
            self.in_batches(self, missing)
            missing = [request for request in missing if value_digest(request) not in self._replies]
        try:
            self._ask_all(missing, label, len(requests))
        except OverBudgetError as error:
            answered = sum(value_digest(request) in self._replies for request in requests)
            raise StageError(
                f"{error}; {answered:,} of {len(requests):,} requests are answered, and kept: raise the budget to go "
                "on from there"
            ) from error
        return [self._replies.get(value_digest(request)) for request in requests]

    def keep(self, replies: Sequence[tuple[Request, Reply]]) -> None:
        """Keep replies that came together."""
        self.answers.keep_all([(request, reply.kept) for request, reply in replies])
        for request, reply in replies:
            self._replies[value_digest(request)] = reply
            self.budget.count(reply)
        self.sent += len(replies)

    def recall(self, requests: Sequence[Request]) -> list[Request]:
        """Take the replies that were kept, counting their cost, and return the requests without one, each once."""
        missing: dict[str, Request] = {}
        by_digest = {value_digest(request): request for request in requests}
        self._recall_failed({digest: by_digest[digest] for digest in by_digest.keys() - self._recalled})
        for (digest, request), kept in zip(by_digest.items(), self.answers.get_all(by_digest.values()), strict=True):
            if kept is None:
                missing[digest] = request
            elif digest not in self._replies:
                self._replies[digest] = Reply(**kept)
                self.budget.count(self._replies[digest])
                self.reused += 1
        return list(missing.values())

    def _recall_failed(self, requests: Mapping[str, Request]) -> None:
        """Count the attempts that failed in earlier runs."""
        self._recalled.update(requests)
        failed = self._failed_attempts.get_all(list(requests))
        for request, (attempts, charged) in zip(requests.values(), failed, strict=True):
            self.budget.count_failed(request, attempts, charged)

    def _ask_all(self, missing: Sequence[Request], label: str, total: int) -> None:
        if not missing:
            return
        self._service = self._service or self.connect()
        self._asked += len(missing)
        waiting, running = deque(missing), set[Future[None]]()
        with ThreadPoolExecutor(self.concurrency, "asking") as pool:
            try:
                while waiting or running:
                    room = (self.concurrency if self._replies else 1) - len(running)
                    for _ in range(min(room, len(waiting))):
                        running.add(pool.submit(self._ask, self._service, waiting.popleft()))
                    left = len(waiting) + len(running)
                    self.ctx.progress(f"{label}, {self.budget.spent}", total - left, total)
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._judge(future.exception())
            except BaseException:
                self.budget.close()
                raise
        self.ctx.progress(f"{label}, {self.budget.spent}", total, total)

    def _ask(self, service: LanguageModelService, request: Request) -> None:
        digest = value_digest(request)
        hold = self.budget.hold(request, partial(self._failed_attempts.add, digest))
        reply = None
        try:
            with counted_by(hold):
                reply = _answer(service, request)
            self.answers.keep(request, reply.kept)
            self._replies[digest] = reply
        finally:
            self.budget.release(hold, reply)

    def _judge(self, error: BaseException | None) -> None:
        """Let a failed request pass, or stop."""
        if error is None:
            self.sent += 1
            self._in_a_row = 0
            return
        if isinstance(error, OverBudgetError) or not isinstance(error, StageError) or not self._replies:
            raise error
        self.failed += 1
        self._in_a_row += 1
        allowed = math.ceil(self.max_failed * self._asked)
        if self.failed > allowed or self._in_a_row >= _IN_A_ROW:
            raise StageError(
                f"{self.failed:,} requests failed, {self._in_a_row:,} of them in a row; 'max_failed' allows a share of "
                f"{self.max_failed:g}, which is {allowed:,} of {self._asked:,}; answers so far are kept; the last "
                f"one: {error}"
            ) from error


def _answer(service: LanguageModelService, request: Request) -> Reply:
    """Ask; whatever an odd answer makes a service raise is the end of one request, not of the run."""
    try:
        return service.ask(request)
    except EmbedrunError:
        raise
    except Exception as error:
        raise StageError(f"the answer cannot be read: {type(error).__name__}: {error}") from error
