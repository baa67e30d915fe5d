"""An endpoint that is there already: whose it is, and whether a deployment may change it."""

from __future__ import annotations

from dataclasses import dataclass

from embedrun.errors import EmbedrunError, UserError
from embedrun_plugins.services.ledger.aws_clients import Clients, is_about
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location, Record, Resource
from embedrun_plugins.services.ledger.resources import BUSY, ENDPOINT, describe, remove
from embedrun_plugins.services.sagemaker import names


def owners(ledger: Ledger, location: Location, endpoint: str) -> list[tuple[LedgerEntry, Record]]:
    """Return the deployments of this ledger that an endpoint belongs to."""
    wanted = Resource(kind=ENDPOINT, name=endpoint)
    return [
        (entry, record)
        for entry, record in ledger.entries()
        if wanted in record.resources and record.place.is_same(location)
    ]


@dataclass(frozen=True)
class Existing:
    """An endpoint by its name, which may be there."""

    clients: Clients
    place: Location
    ledger: Ledger
    name: str
    run: str
    """The run that wants it, NAME/TIME."""

    def replaceable(self, *, by_name: bool) -> str | None:
        """Return the configuration that it serves, if it may be changed; None where it is to be made.

        Only what this user deployed is changed, or what the recipe names (`by_name`) and a run of the same recipe made.
        Raises UserError for any other.
        """
        endpoint = describe(self.clients, self.name)
        if endpoint is None:
            return None
        mine = owners(self.ledger, self.place, self.name)
        if any(record.run == self.run for _, record in mine):
            raise UserError(f"endpoint {self.name} was made by this run; give each deployer its own 'endpoint_name'")
        state = endpoint["EndpointStatus"]
        if state in (*BUSY, "Deleting"):
            raise UserError(f"endpoint {self.name} is {state}: another deployment is under way; wait for it")
        if not mine and not (by_name and self._recipe(endpoint["EndpointArn"]) == self.run.partition("/")[0]):
            raise UserError(
                f"endpoint {self.name} exists, and was not made by a run of this recipe on this machine; "
                "name another by 'endpoint_name'"
            )
        if state != "InService":
            self._clear(mine)
            return None
        return str(endpoint["EndpointConfigName"])

    def _clear(self, mine: list[tuple[LedgerEntry, Record]]) -> None:
        """Remove what an earlier attempt left that failed."""
        faults = [fault for entry, _ in mine for fault in remove(entry, clients=self.clients)]
        if faults or not mine:
            reason = "; ".join(faults) or "it is not in this machine's ledger"
            raise UserError(f"endpoint {self.name} failed before and cannot be removed: {reason}; delete it first")

    def _recipe(self, arn: str) -> str | None:
        """Return the recipe that an endpoint is tagged with."""
        try:
            tags = self.clients.call("sagemaker", "list_tags", ResourceArn=arn)["Tags"]
        except EmbedrunError as error:
            if is_about(error, ("AccessDeniedException",)):
                return None
            raise
        return {tag["Key"]: tag["Value"] for tag in tags}.get(names.RECIPE_TAG)
