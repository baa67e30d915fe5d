"""Prices come from AWS's price list, with its date, or not at all."""

from __future__ import annotations

import datetime as dt

import pytest

from embedrun_plugins.services.ledger import prices
from embedrun_plugins.services.ledger.prices import ASYNCHRONOUS, HOSTING, TRAINING, Price, look_up

ASKED = "AWSPriceListService.GetProducts"


@pytest.fixture
def aws(plain_aws):
    return plain_aws


def questions(aws) -> int:
    return sum(call.name == ASKED for call in aws.front.calls)


def days_later(monkeypatch, days: int) -> None:
    class Later(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + dt.timedelta(days=days)

    monkeypatch.setattr(prices, "datetime", Later)


@pytest.mark.parametrize("use", [HOSTING, ASYNCHRONOUS, TRAINING])
def test_a_price_is_of_one_region_and_use_and_has_a_date(aws, use):
    listed = look_up("ml.m5.xlarge", "us-east-1", use)
    assert listed is not None
    assert listed.usd == 0.23
    assert str(listed) == "AWS's price list of 2026-11-20 for us-east-1"
    assert Price.of(listed, 2, 4).recorded() == {
        "usd_per_hour": 0.46,
        "most_usd_per_hour": 0.92,
        "pays_requests": False,
        "price_date": "2026-11-20",
    }


def test_a_price_is_asked_for_once_a_week(aws, monkeypatch):
    before = questions(aws)
    first = look_up("ml.g5.xlarge", "eu-west-1", HOSTING)
    assert look_up("ml.g5.xlarge", "eu-west-1", HOSTING) == first
    assert questions(aws) == before + 1
    days_later(monkeypatch, 8)
    assert look_up("ml.g5.xlarge", "eu-west-1", HOSTING) is not None
    assert questions(aws) == before + 2


@pytest.mark.parametrize("fault", ["denied", "throttled", "gone"])
def test_where_the_list_cannot_be_asked_there_is_no_price_but_an_earlier_one(aws, monkeypatch, fault):
    aws.front.failing = lambda _, name: fault if name == ASKED else None
    assert look_up("ml.m5.xlarge", "us-east-2", HOSTING) is None
    aws.front.failing = lambda *_: None
    listed = look_up("ml.m5.xlarge", "us-east-2", HOSTING)
    assert listed is not None
    days_later(monkeypatch, 8)
    aws.front.failing = lambda _, name: fault if name == ASKED else None
    assert look_up("ml.m5.xlarge", "us-east-2", HOSTING) == listed


def test_what_aws_lists_no_price_of_has_none(aws):
    assert look_up("ml.p99.xlarge", "us-east-1", HOSTING) is None
    assert Price.of(None, 2, 4) == Price(None)
