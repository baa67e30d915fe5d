"""An asynchronous endpoint: what was answered is not lost, whatever becomes of its traces in S3."""

from __future__ import annotations

import pytest

from embedrun.errors import UserError
from embedrun_plugins.services.endpoints.transports import Refused, Unanswered
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.sagemaker.async_transport import AsyncTransport


class Answering(Clients):
    """SageMaker and S3, where nothing may be deleted."""

    def __init__(self, answers: dict[str, bytes]) -> None:
        super().__init__()
        self.answers = answers

    def call(self, service: str, operation: str, **arguments: object) -> object:
        if operation == "delete_object":
            raise UserError("s3: access denied")
        if operation == "invoke_endpoint_async":
            return {"OutputLocation": "s3://b/out", "FailureLocation": "s3://b/failed"}
        return None

    def find(self, service: str, operation: str, gone: object, **arguments: object) -> object:
        found = self.answers.get(str(arguments["Key"]))
        return None if found is None else {"Body": Body(found)}


class Body(bytes):
    def read(self) -> bytes:
        return self


def test_an_answer_is_returned_where_its_traces_cannot_be_removed():
    assert AsyncTransport("e", "s3://b/async", Answering({"out": b"[[1.0]]"})).send(b"{}") == b"[[1.0]]"


def test_so_is_a_refusal_and_the_reason_why_there_is_no_answer():
    with pytest.raises(Refused, match="no such prompt"):
        AsyncTransport("e", "s3://b/async", Answering({"failed": b"no such prompt"})).send(b"{}")
    with pytest.raises(Unanswered, match="no answer in 0 s"):
        AsyncTransport("e", "s3://b/async", Answering({}), seconds=0).send(b"{}")
