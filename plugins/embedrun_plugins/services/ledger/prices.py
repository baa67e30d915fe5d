"""What SageMaker's instances cost an hour, by AWS's own price list; nothing where that cannot be asked."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from embedrun.errors import EmbedrunError
from embedrun_plugins.services import aws
from embedrun_plugins.services.ledger.ledger import default_folder

HOSTING, ASYNCHRONOUS, TRAINING = "Host", "AsyncInf", "Train"
"""What an instance is used for, as the usage types of AWS's price list call it."""
SOURCE = "AWS's list prices on demand; your contract's may differ"
_LIST_REGION = "us-east-1"
"""Where the price list of all regions is served."""
_FRESH = timedelta(days=7)
"""How long a price that was read is taken without another question."""
_SECONDS = 5.0
_TRIES = 2


class ListPrice(BaseModel):
    """The price of one instance, and where it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd: float
    """US dollars an hour, on demand."""
    region: str
    published: str
    """Day of the price list, as in 2026-11-20."""
    read: datetime
    """When it was asked for."""

    def __str__(self) -> str:
        return f"AWS's price list of {self.published} for {self.region}"


@dataclass(frozen=True)
class Price:
    """What a deployment costs in US dollars an hour."""

    usd: float | None
    """With the least instances; None where it is not known."""
    most_usd: float | None = None
    """With as many as scaling may add; None where there are always as many."""
    asked: bool = False
    """Whether every request costs something, too."""
    date: str | None = None
    """Day of the price list that it is from; None where no list is needed."""

    @classmethod
    def of(cls, listed: ListPrice | None, least: int, most: int | None = None) -> Price:
        """Return the price of so many instances; not known without the price of one."""
        if listed is None:
            return cls(None)
        usd, most_usd = (count and round(listed.usd * count, 4) for count in (least, most))
        return cls(usd, most_usd, date=listed.published)

    def recorded(self) -> dict[str, Any]:
        """Return it as the ledger writes it down."""
        return {
            "usd_per_hour": self.usd,
            "most_usd_per_hour": self.most_usd,
            "pays_requests": self.asked,
            "price_date": self.date,
        }

    def shown(self, mark: str = "", unit: str = "") -> str:
        """Return the range, as in "0.23 to 0.92", and that requests are paid for."""
        most = "" if self.most_usd is None else f" to {mark}{self.most_usd:.2f}"
        return f"{mark}{self.usd or 0.0:.2f}{most}{unit}{' and a price per request' if self.asked else ''}"


def look_up(instance_type: str, region: str, use: str, profile: str | None = None) -> ListPrice | None:
    """Return the list price of an instance in a region; None where AWS lists none, or cannot be asked.

    It is kept beside the ledger, and asked for anew after a week; an older one is taken where that fails.
    """
    file = default_folder() / "prices" / f"{region}.{use}.{instance_type}.json"
    kept = _kept(file)
    if kept and datetime.now(UTC) - kept.read < _FRESH:
        return kept
    try:
        products = _products(instance_type, region, profile)
    except EmbedrunError:  # no right to ask, no network: what is deployed matters more than its price
        return kept
    if listed := _chosen(products, instance_type, region, use):
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            file.write_text(listed.model_dump_json(), "utf-8")
    return listed


def _kept(file: Path) -> ListPrice | None:
    try:
        return ListPrice.model_validate_json(file.read_text("utf-8"))
    except (OSError, ValidationError):
        return None


def _products(instance_type: str, region: str, profile: str | None) -> list[dict[str, Any]]:
    """Ask for all that AWS lists of an instance in a region: hosting, training, notebooks."""
    wanted = {"regionCode": region, "instanceName": instance_type}
    filters = [{"Type": "TERM_MATCH", "Field": name, "Value": value} for name, value in wanted.items()]
    tries = min(_TRIES, aws.TRIES)
    client = aws.client("pricing", region=_LIST_REGION, profile=profile, read_seconds=_SECONDS, tries=tries)
    with aws.explained("pricing"), closing(client):
        pages = client.get_paginator("get_products").paginate(ServiceCode="AmazonSageMaker", Filters=filters)
        return [json.loads(product) for page in pages for product in page["PriceList"]]


def _chosen(products: Iterable[dict[str, Any]], instance_type: str, region: str, use: str) -> ListPrice | None:
    """Return the price an hour for one use; its usage type is USE1-Host:ml.m5.xlarge, say."""
    usage_type = re.compile(rf"(\w+-)?{use}:{re.escape(instance_type)}")
    for product in products:
        if not usage_type.fullmatch(product["product"]["attributes"].get("usagetype", "")):
            continue
        for term in product.get("terms", {}).get("OnDemand", {}).values():
            for rate in term["priceDimensions"].values():
                if rate["unit"].startswith("Hr") and (usd := float(rate["pricePerUnit"].get("USD", 0))):
                    published = product["publicationDate"][: len("2026-11-20")]
                    return ListPrice(usd=usd, region=region, published=published, read=datetime.now(UTC))
    return None
