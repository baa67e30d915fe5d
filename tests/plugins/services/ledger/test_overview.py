"""What lives in the cloud, as a user sees it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from embedrun_plugins.services.ledger.ledger import Ledger, Location, Resource
from embedrun_plugins.services.ledger.overview import living, shown
from embedrun_plugins.services.ledger.prices import ListPrice
from embedrun_plugins.stages.deployers.sagemaker import SageMakerHuggingFace

PLACE = Location(account="123456789012", region="us-east-1")
LISTED = ListPrice(usd=0.23, region="us-east-1", published="2026-11-20", read=datetime.now(UTC))


def price_of(stage: SageMakerHuggingFace) -> ListPrice | None:
    return LISTED if stage.instance_type == "ml.m5.xlarge" else None


@pytest.fixture
def listed(monkeypatch, tmp_path):
    """Show the deployments of some stages, as far as this machine knows."""
    monkeypatch.setenv("EMBEDRUN_LEDGER", str(tmp_path))

    def listed(*stages: SageMakerHuggingFace) -> str:
        for number, stage in enumerate(stages):
            about = {"deployer": "sagemaker", "place": PLACE, **stage.price(price_of(stage)).recorded()}
            Ledger().open(run=f"shop/{number}", hours=None, **about).add(Resource(kind="endpoint", name=f"e{number}"))
        return shown(living(ask=False))

    return listed


@pytest.mark.parametrize(
    ("settings", "price", "forecast"),
    [
        ({}, "$0.23 an hour (price list of 2026-11-20)", f"0.23 ({LISTED})"),
        (
            {"auto_scaling": {"max_instances": 4}},
            "$0.23 to $0.92 an hour (price list of 2026-11-20)",
            f"0.23 to 0.92 ({LISTED})",
        ),
        ({"serverless": {}}, "$0.00 an hour and a price per request", "0.00 and a price per request"),
        ({"instance_type": "ml.p99.xlarge"}, "price unknown", None),
    ],
)
def test_a_deployment_is_shown_with_what_it_may_cost(listed, settings, price, forecast):
    stage = SageMakerHuggingFace.model_validate(settings)
    assert f", {price}, " in listed(stage).splitlines()[0]
    stage._listed = price_of(stage)
    assert list(stage.forecast(None).items()) == ([("usd an hour", forecast)] if forecast else [])


def test_what_all_of_them_cost_is_shown_with_where_prices_are_from(listed):
    settings = [{}, {"auto_scaling": {"max_instances": 4}}, {"serverless": {}}, {"instance_type": "ml.p99.xlarge"}]
    assert listed(*map(SageMakerHuggingFace.model_validate, settings)).splitlines()[-1] == (
        "together about $0.46 to $1.15 an hour and a price per request and unknown prices "
        "(AWS's list prices on demand; your contract's may differ)"
    )


def test_a_price_from_before_lists_were_asked_is_not_shown(listed):
    Ledger().open(run="old/1", hours=None, deployer="sagemaker", place=PLACE, usd_per_hour=0.23).add(
        Resource(kind="endpoint", name="old")
    )
    assert ", price unknown, " in listed()
