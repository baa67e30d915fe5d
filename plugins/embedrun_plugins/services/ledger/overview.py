"""What the ledger holds, for people and programs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from embedrun.errors import EmbedrunError
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, Record, Resource
from embedrun_plugins.services.ledger.prices import SOURCE, Price
from embedrun_plugins.services.ledger.resources import ENDPOINT, JOB, describe, describe_job

_ENDED = ("Completed", "Failed", "Stopped", "gone")
"""States of what no longer costs anything."""


def living(*, ask: bool) -> list[dict[str, Any]]:
    """Return every deployment that may exist, the oldest first; `ask` has AWS say how its endpoint is."""
    clients = cache(Clients.of)
    return [_row(identifier, record, clients(record.place) if ask else None) for identifier, record in _records()]


def _records() -> list[tuple[str, Record]]:
    return [(entry.id, record) for entry, record in Ledger().entries() if record.resources]


def _row(identifier: str, record: Record, clients: Clients | None) -> dict[str, Any]:
    status = _status(record, clients) if clients else None
    return {
        "id": identifier,
        "run": record.run,
        "folder": record.folder,
        "deployer": record.deployer,
        **record.place.model_dump(),
        "created": record.created.isoformat(),
        "expires": record.expires.isoformat() if record.expires else None,
        "expired": record.is_expired(),
        **_price(record, status).recorded(),
        "status": status,
        "resources": [resource.model_dump() for resource in record.resources],
    }


def _price(record: Record, status: str | None) -> Price:
    """Return what a deployment costs by now."""
    if _running(record) is None or status in _ENDED:
        return Price(0.0)
    if record.usd_per_hour and record.price_date is None:
        return Price(None)
    return Price(record.usd_per_hour, record.most_usd_per_hour, record.pays_requests, record.price_date)


def _running(record: Record) -> Resource | None:
    """Return what costs by the hour: the endpoint, or the last training job."""
    return next((resource for resource in reversed(record.resources) if resource.kind in (ENDPOINT, JOB)), None)


def _status(record: Record, clients: Clients) -> str:
    """Say how the endpoint or the job is; what cannot be asked is no reason not to show the rest."""
    running = _running(record)
    if running is None:
        return "nothing runs"
    try:
        if running.kind == JOB:
            job = describe_job(clients, running.name)
            return str(job["TrainingJobStatus"]) if job else "gone"
        endpoint = describe(clients, running.name)
    except EmbedrunError as error:
        return f"unknown: {error}"
    return str(endpoint["EndpointStatus"]) if endpoint else "gone"


def shown(rows: list[dict[str, Any]]) -> str:
    """Return a block of lines for each deployment, and what all of them cost."""
    if not rows:
        return "nothing is in the cloud, as far as the ledger shows"
    lines = [line for row in rows for line in _lines(row)]
    return "\n".join([*lines, "", f"together about {_together([_of(row) for row in rows])} ({SOURCE})"])


def _together(prices: list[Price]) -> str:
    priced = [price for price in prices if price.usd is not None]
    least, most = (
        sum(price.usd or 0.0 for price in priced),
        sum(price.most_usd or price.usd or 0.0 for price in priced),
    )
    total = Price(least, most if most > least else None, any(price.asked for price in priced))
    return total.shown("$", " an hour") + ("" if len(priced) == len(prices) else " and unknown prices")


def _of(row: dict[str, Any]) -> Price:
    return Price(row["usd_per_hour"], row["most_usd_per_hour"], row["pays_requests"], row["price_date"])


def _lines(row: dict[str, Any]) -> list[str]:
    price = "price unknown" if row["usd_per_hour"] is None else _of(row).shown("$", " an hour")
    price += f" (price list of {row['price_date']})" if row["price_date"] else ""
    status = f", {row['status']}" if row["status"] else ""
    head = f"{row['run']}  {row['deployer']}, {row['region']}{status}, {price}, {_age(row)}"
    return [head, *(f"    {resource['kind']} {resource['name']}" for resource in row["resources"])]


def _age(row: dict[str, Any]) -> str:
    now = datetime.now(UTC)
    age = f"{_hours(now - datetime.fromisoformat(row['created']))} old"
    if row["expires"] is None:
        return f"{age}, no age limit"
    left = datetime.fromisoformat(row["expires"]) - now
    return f"{age}, past its age limit" if row["expired"] else f"{age}, {_hours(left)} left"


def _hours(time: timedelta) -> str:
    hours = time.total_seconds() / 3600
    return f"{hours:.0f} h" if hours >= 1 else f"{hours * 60:.0f} min"
