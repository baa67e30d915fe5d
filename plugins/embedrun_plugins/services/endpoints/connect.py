"""Making a client, from an address, a run or the name of a SageMaker endpoint."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from embedrun.errors import UserError
from embedrun_plugins.services.addresses import sends_in_the_open
from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.endpoints.client import Client, RequestParameters
from embedrun_plugins.services.endpoints.deployed import answering
from embedrun_plugins.services.endpoints.http_transport import HttpTransport, Key
from embedrun_plugins.services.endpoints.sagemaker_transport import SageMakerTransport
from embedrun_plugins.services.endpoints.transports import Transport


class ClientOptions(BaseModel):
    """How an endpoint is asked; what a run's record says is overruled by what is given here."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    query_prompt: str | None = None
    """Name of the server's prompt for queries, such as "query"; by default the record's, and without a record none."""
    document_prompt: str | None = None
    """Name of the server's prompt for documents; by default the record's, and without a record none."""
    normalize: bool | None = None
    """Whether vectors have length 1; by default as the record says, and without a record yes."""
    dimensions: int | None = Field(None, ge=1)
    """Leading dimensions kept, for a Matryoshka model; by default all."""
    api_key: SecretStr | None = None
    """A server's key, if it wants one. Better: `api_key_env`."""
    api_key_env: VariableName | None = None
    """Environment variable that holds the server's key; by default the record's, and without a record none."""
    batch_size: int = Field(32, ge=1)
    """Texts in a request, if the server takes as many."""
    concurrency: int = Field(4, ge=1, le=512)
    """Requests at a time."""
    timeout: float | None = Field(None, gt=0)
    """Seconds that an endpoint may take to answer; by default 120, for SageMaker's 70 and for asynchronous ones 900."""

    @property
    def key(self) -> Key:
        return Key(self.api_key.get_secret_value() if self.api_key else None, self.api_key_env)

    def reading(self, recorded: RequestParameters) -> RequestParameters:
        """Return how the endpoint is asked: as recorded, but for what is given here."""
        options = {
            "query": self.query_prompt,
            "document": self.document_prompt,
            "normalize": self.normalize,
            "dimensions": self.dimensions,
        }
        return recorded.model_copy(update={name: value for name, value in options.items() if value is not None})

    def client(self, transport: Transport, recorded: RequestParameters) -> Client:
        return Client(transport, self.reading(recorded), self.batch_size, self.concurrency)


def at(url: str, options: ClientOptions) -> Client:
    """Return a client of a server. Raises UserError where that is no address."""
    return options.client(_with(HttpTransport(url), options), RequestParameters())


def on_sagemaker(endpoint: str, region: str | None, profile: str | None, options: ClientOptions) -> Client:
    """Return a client of a SageMaker endpoint; the key is AWS's own, by its own chain. Raises UserError for another."""
    return options.client(_with(SageMakerTransport(endpoint, region, profile), options), RequestParameters())


def of_run(run: str | Path, deployer: str | None, runs: Path, options: ClientOptions) -> Client:
    """Return a client of what a run deployed.

    Raises UserError where that is nothing that answers, it does not take what is given, or its record does not say how
    it is asked.
    """
    transport, endpoint = answering(run, runs, deployer)
    transport = _with(transport, options)
    if endpoint.reading is None and options.query_prompt is None:
        raise UserError(
            f"{run}: the record of '{endpoint.name}' does not say which prompts its endpoint has; name query_prompt "
            "and document_prompt, or deploy again"
        )
    return options.client(transport, endpoint.reading or RequestParameters())


def _with(transport: Transport, options: ClientOptions) -> Transport:
    """Return what carries requests, with the key and the time that are given. Raises UserError where it takes none."""
    if options.api_key or options.api_key_env:
        if not isinstance(transport, HttpTransport):
            raise UserError(
                f"{transport.where}: takes no api_key or api_key_env, which are for a server; AWS credentials sign "
                "requests to SageMaker"
            )
        transport = replace(transport, key=options.key)
    if isinstance(transport, HttpTransport) and (warning := sends_in_the_open(transport.url, transport.key.named)):
        warnings.warn(warning, stacklevel=2)
    if options.timeout is None:
        return transport
    if not hasattr(transport, "seconds"):
        raise UserError(f"{transport.where}: takes no timeout")
    timed: Transport = replace(cast("Any", transport), seconds=options.timeout)
    return timed
