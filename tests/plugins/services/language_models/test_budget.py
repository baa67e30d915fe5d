"""What asking costs, and the budget."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from embedrun_plugins.services.language_models.budget import Allowance, Budget, OverBudgetError
from embedrun_plugins.services.language_models.llm_service import Reply, most_input_tokens, usage_of
from embedrun_plugins.services.language_models.prices import TokenPrice, bedrock_price

REQUEST: dict[str, Any] = {"system": "", "prompt": "x" * 936}
"""A thousand tokens at most."""


def limited(**budget: Any) -> Budget:
    return Budget(TokenPrice(input=1000, output=2000), Allowance(**budget), most_output=500)


def test_the_worst_case_is_a_token_a_byte_and_the_longest_reply():
    assert most_input_tokens(REQUEST) == 1000
    assert limited().worst(REQUEST) == (1500, 2.0)


def test_a_request_goes_out_only_if_its_worst_case_fits():
    spent = limited(usd=2.5)
    held = spent.hold(REQUEST)
    spent.release(held, Reply("", input_tokens=200, output_tokens=150))
    assert spent.usd == 0.5
    spent.release(spent.hold(REQUEST), Reply("", input_tokens=1, output_tokens=0))
    with pytest.raises(
        OverBudgetError, match=r"budget: 2.5 USD are allowed, 0.501 USD are spent, the next call may take 2 USD"
    ):
        spent.hold(REQUEST)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"tokens": 1499}, "budget_tokens: 1,499 tokens are allowed"),
        ({"calls": 0}, "budget_calls: 0 requests are allowed"),
    ],
)
def test_tokens_and_requests_have_their_own_limits(budget, said):
    with pytest.raises(OverBudgetError, match=said):
        limited(**budget).hold(REQUEST)


def test_a_request_waits_for_those_under_way_instead_of_giving_up():
    spent = limited(usd=3.0)
    held = spent.hold(REQUEST)
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(spent.hold(REQUEST)))
    thread.start()
    thread.join(0.05)
    assert not got
    spent.release(held, Reply("", input_tokens=500, output_tokens=0))
    thread.join(5)
    assert [(hold.tokens, hold.usd) for hold in got] == [(1500, 2.0)]


def test_a_failed_request_counts_and_may_have_cost_its_worst_case():
    spent = limited(usd=5.0)
    spent.release(spent.hold(REQUEST), None)
    assert (spent.calls, spent.tokens, spent.usd) == (1, 1500, 2.0)


def test_a_refused_request_counts_and_costs_nothing():
    spent = limited(usd=2.0, calls=3)
    for _ in range(3):
        hold = spent.hold(REQUEST)
        hold.sending()
        hold.answered(429)
        spent.release(hold, None)
    assert (spent.calls, spent.tokens, spent.usd) == (3, 0, 0.0)
    with pytest.raises(OverBudgetError, match="budget_calls"):
        spent.hold(REQUEST)


def test_an_attempt_that_is_made_again_needs_room_in_the_budget():
    spent = limited(calls=2)
    hold = spent.hold(REQUEST)
    hold.sending()
    assert hold.answered(500)
    hold.sending()
    assert not hold.answered(500)
    with pytest.raises(OverBudgetError, match="budget_calls: 2 requests are allowed, 2 requests are spent"):
        hold.sending()
    spent.release(hold, None)
    assert spent.calls == 2


@pytest.mark.parametrize(
    "usage", [(None, None), (0, 0), (-1000, -1000), ("many", "few"), (True, 2.5), (10**400, 10**9)]
)
def test_a_usage_that_is_none_counts_as_the_worst_case(usage):
    request = {**REQUEST, "parameters": {"max_tokens": 500}}
    assert usage_of(request, "A text.", *usage) == (1000, 500)
    assert usage_of(request, "", 20, 0) == (20, 0)


def test_prices_are_known_for_a_model_and_its_inference_profiles():
    assert bedrock_price("meta.llama3-70b-instruct-v1:0") == TokenPrice(input=2.65, output=3.5)
    assert bedrock_price("eu.amazon.nova-micro-v1:0") == bedrock_price("amazon.nova-micro-v1:0")
    assert bedrock_price("own") is None
