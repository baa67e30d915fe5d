"""What lives in the cloud, as a user sees it."""

from __future__ import annotations

import pytest

from embedrun_plugins.services.ledger.ledger import Ledger, Place, Resource
from embedrun_plugins.services.ledger.listing import living, shown
from embedrun_plugins.stages.deployers.sagemaker import SageMakerHuggingFace

PLACE = Place(account="123456789012", region="us-east-1")


@pytest.fixture
def listed(monkeypatch, tmp_path):
    """Show the deployments of some stages, as far as this machine knows."""
    monkeypatch.setenv("EMBEDRUN_LEDGER", str(tmp_path))

    def listed(*stages: SageMakerHuggingFace) -> str:
        for number, stage in enumerate(stages):
            about = {"deployer": "sagemaker", "place": PLACE, **stage.price().recorded()}
            Ledger().open(run=f"shop/{number}", hours=None, **about).add(Resource(kind="endpoint", name=f"e{number}"))
        return shown(living(ask=False))

    return listed


@pytest.mark.parametrize(
    ("settings", "price", "forecast"),
    [
        ({}, "$0.23 an hour", "0.23"),
        ({"auto_scaling": {"max_instances": 4}}, "$0.23 to $0.92 an hour", "0.23 to 0.92"),
        ({"serverless": {}}, "$0.00 an hour and a price per request", "0.00 and a price per request"),
        ({"instance_type": "ml.p99.xlarge"}, "price unknown", None),
    ],
)
def test_a_deployment_is_shown_with_what_it_may_cost(listed, settings, price, forecast):
    stage = SageMakerHuggingFace.model_validate(settings)
    assert f", {price}, " in listed(stage).splitlines()[0]
    assert list(stage.forecast(None).items()) == ([("usd an hour (estimate)", forecast)] if forecast else [])


def test_what_all_of_them_cost_is_an_estimate_and_says_so(listed):
    settings = [{}, {"auto_scaling": {"max_instances": 4}}, {"serverless": {}}, {"instance_type": "ml.p99.xlarge"}]
    assert listed(*map(SageMakerHuggingFace.model_validate, settings)).splitlines()[-1] == (
        "together about $0.46 to $1.15 an hour and a price per request and unknown prices "
        "(estimates for us-east-1; check them against AWS's price list)"
    )
