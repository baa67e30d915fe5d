"""An endpoint that is there already: whose it is, and whether a deployment may change it."""

from __future__ import annotations

from typing import Any

from embedrun.errors import EmbedrunError, UserError
from embedrun_plugins.endpoints import naming
from embedrun_plugins.ledger.clients import Clients, is_about
from embedrun_plugins.ledger.entries import Entry, Ledger, Place, Resource
from embedrun_plugins.ledger.removal import BUSY, ENDPOINT, describe, remove


def owners(ledger: Ledger, place: Place, endpoint: str) -> list[tuple[Entry, Any]]:
    """Return the deployments of this ledger that an endpoint belongs to."""
    wanted = Resource(kind=ENDPOINT, name=endpoint)
    return [
        (entry, record)
        for entry, record in ledger.entries()
        if wanted in record.resources and (record.place.account, record.place.region) == (place.account, place.region)
    ]


def replaceable(
    clients: Clients, place: Place, ledger: Ledger, endpoint: str, recipe: str, *, by_name: bool
) -> str | None:
    """Return the configuration that an endpoint serves, if it is there and may be changed; None where it is to be made.

    Only what this user deployed is changed, or what the recipe names (`by_name`) and a run of the same recipe made.
    Raises UserError for any other.
    """
    found = describe(clients, endpoint)
    if found is None:
        return None
    mine = owners(ledger, place, endpoint)
    if found["EndpointStatus"] in (*BUSY, "Deleting"):
        raise UserError(
            f"endpoint {endpoint} is {found['EndpointStatus']}: another deployment is under way; wait for it"
        )
    if not mine and not (by_name and _recipe_of(clients, found["EndpointArn"]) == recipe):
        raise UserError(
            f"endpoint {endpoint} exists, and was not made by a run of this recipe on this machine; "
            "name another by 'endpoint_name'"
        )
    if found["EndpointStatus"] != "InService":
        _clear(clients, mine, endpoint)
        return None
    return str(found["EndpointConfigName"])


def _clear(clients: Clients, mine: list[tuple[Entry, Any]], endpoint: str) -> None:
    """Remove what an earlier attempt left that failed."""
    faults = [fault for entry, _ in mine for fault in remove(entry, clients=clients)]
    if faults or not mine:
        reason = "; ".join(faults) or "it is not in this machine's ledger"
        raise UserError(f"endpoint {endpoint} has failed before and cannot be removed: {reason}; delete it first")


def _recipe_of(clients: Clients, arn: str) -> str | None:
    try:
        found = clients.call("sagemaker", "list_tags", ResourceArn=arn)["Tags"]
    except EmbedrunError as error:
        if is_about(error, ("AccessDeniedException",)):
            return None
        raise
    return {tag["Key"]: tag["Value"] for tag in found}.get(naming.RECIPE_TAG)
