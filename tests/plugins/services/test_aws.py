"""Clients of AWS, and its errors in the user's words."""

from __future__ import annotations

from typing import Any

import pytest

from embedrun.errors import StageError, UserError
from embedrun_plugins.services import aws
from fake_services import reply, serving

MODEL = "meta.llama3-70b-instruct-v1:0"


@pytest.fixture(autouse=True)
def _bare(monkeypatch, tmp_path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


@pytest.fixture
def _known(monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setattr(aws, "TRIES", 1)


def ask(url: str) -> Any:
    client = aws.client("bedrock-runtime", region="us-east-1", endpoint_url=url)
    with aws.explained("bedrock", model=MODEL):
        return client.converse(modelId=MODEL, messages=[{"role": "user", "content": [{"text": "x"}]}])


def test_a_missing_region_says_how_to_give_one():
    with pytest.raises(UserError, match=r"no AWS region; give one by the key 'region', by AWS_DEFAULT_REGION"):
        aws.client("bedrock-runtime")


@pytest.mark.usefixtures("_known")
def test_the_region_of_either_variable_is_taken(monkeypatch):
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert aws.client("bedrock-runtime").meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-3")
    assert aws.client("bedrock-runtime").meta.region_name == "eu-west-3"


def test_missing_and_partial_credentials_are_found_before_anything_is_sent(monkeypatch):
    with pytest.raises(UserError, match="there are no AWS credentials; give some by AWS_ACCESS_KEY_ID"):
        ask("http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    with pytest.raises(UserError, match=r"the AWS credentials are incomplete: .*AWS_SECRET_ACCESS_KEY"):
        ask("http://127.0.0.1:9")


def test_a_bedrock_api_key_will_do(monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "token")
    assert aws.client("bedrock-runtime", region="us-east-1")


def test_an_unknown_profile_is_named_with_what_was_probably_meant(tmp_path):
    (tmp_path / "config").write_text("[profile research]\nregion = eu-west-1\n")
    with pytest.raises(UserError, match=r"there is no AWS profile 'reserch'; did you mean 'research'\?"):
        aws.client("bedrock-runtime", profile="reserch")


@pytest.mark.usefixtures("_known")
@pytest.mark.parametrize(
    ("code", "status", "message", "kind", "said"),
    [
        ("ExpiredTokenException", 403, "expired", UserError, "the AWS session has expired"),
        ("UnrecognizedClientException", 403, "invalid token", UserError, "AWS does not accept these credentials"),
        ("AccessDeniedException", 403, "no access", UserError, f"request access to '{MODEL}' under 'Model access'"),
        ("ResourceNotFoundException", 404, "Model not found.", UserError, f"cannot call the model '{MODEL}'"),
        (
            "ValidationException",
            400,
            "Invocation of model ID x with on-demand throughput isn’t supported.",  # noqa: RUF001  # as AWS writes it
            UserError,
            "called through an inference profile",
        ),
        ("ValidationException", 400, "too long", StageError, "bedrock: ValidationException: too long"),
        ("ThrottlingException", 429, "slow down", StageError, "throttled, even after 1 tries"),
        ("ModelTimeoutException", 408, "late", StageError, "bedrock: ModelTimeoutException: late"),
    ],
)
def test_what_aws_answers_is_explained(code, status, message, kind, said):
    def route(*_: Any) -> Any:
        return reply({"message": message}, status, **{"x-amzn-errortype": code})

    with serving((r"/model/.*", route)) as services, pytest.raises(kind) as error:
        ask(services.url)
    assert said in str(error.value)
    assert aws.error_code(error.value) == code


@pytest.mark.usefixtures("_known")
def test_a_connection_that_breaks_off_is_explained():
    with serving((r"/model/.*", lambda *_: None)) as services, pytest.raises(StageError, match="the connection broke"):
        ask(services.url)


def test_an_answer_that_breaks_off_may_succeed_another_time():
    from botocore.exceptions import IncompleteReadError

    with pytest.raises(StageError, match="the response broke off"), aws.explained("bedrock"):
        raise IncompleteReadError(actual_bytes=1, expected_bytes=2)


@pytest.mark.usefixtures("_known")
def test_where_nothing_answers_the_address_is_doubted():
    with pytest.raises(UserError, match=r"nothing answers there: .*127.0.0.1:9"):
        ask("http://127.0.0.1:9")
    with pytest.raises(UserError, match=r"Invalid endpoint: nowhere; an address starts with https://"):
        ask("nowhere")
