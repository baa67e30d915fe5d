"""The clients of one account's services, made when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from embedrun.errors import EmbedrunError
from embedrun_plugins.services import aws
from embedrun_plugins.services.ledger.ledger import Location


@dataclass
class Clients:
    """Calls AWS, and explains what goes wrong."""

    region: str | None = None
    profile: str | None = None
    _made: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, location: Location) -> Clients:
        return cls(location.region, location.profile)

    def __call__(self, service: str) -> Any:
        """Return the client of a service. Raises UserError without credentials or a region."""
        if service not in self._made:
            self._made[service] = aws.client(service, region=self.region, profile=self.profile)
        return self._made[service]

    def call(self, service: str, operation: str, **arguments: Any) -> Any:
        """Call an operation. Raises UserError or StageError that says what to do."""
        client = self(service)
        with aws.explained(service):
            return getattr(client, operation)(**arguments)

    def find(self, service: str, operation: str, gone: Sequence[str], **arguments: Any) -> Any:
        """Call an operation; return None where AWS answers that there is no such thing.

        `gone` are codes, or CODE:WORDS for a code that says so in its words alone.
        """
        try:
            return self.call(service, operation, **arguments)
        except EmbedrunError as error:
            if is_about(error, gone):
                return None
            raise

    def close(self) -> None:
        """Close the connections; a service that is asked again gets a new client."""
        while self._made:
            self._made.popitem()[1].close()

    def account(self) -> str:
        return str(self.call("sts", "get_caller_identity")["Account"])

    def place(self) -> Location:
        account = self.account()
        return Location(account=account, region=str(self("sts").meta.region_name), profile=self.profile)


def is_about(error: BaseException, answers: Sequence[str]) -> bool:
    """Say whether AWS answered with one of the codes, or CODE:WORDS."""
    code, text = aws.error_code(error), str(error.__cause__ or error)
    pairs = (answer.partition(":") for answer in answers)
    return any(code == wanted and words in text for wanted, _, words in pairs)
