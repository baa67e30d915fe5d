"""Clients of AWS, and what its errors mean."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from embedrun.errors import EmbedrunError, StageError, UserError, suggest

TRIES = 6
"""How often one request is sent, the first time included, before its failure counts."""
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 300.0
_BEARER_TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105  # a variable's name
_GIVE_CREDENTIALS = (
    "give some by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, by a profile (AWS_PROFILE or the key 'profile'), by "
    "`aws sso login`, or by the role of the machine"
)

VARIABLES = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", _BEARER_TOKEN,
    "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CA_BUNDLE", "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "AWS_ENDPOINT_URL_BEDROCK", "AWS_ENDPOINT_URL_S3",
)  # fmt: skip
"""Variables that a client may read, for `Stage.variables`."""


def address(service: str, *, region: str | None = None, endpoint_url: str | None = None) -> str:
    """Return where a client of a service would send its requests, for `Stage.reaches`."""
    variable = f"AWS_ENDPOINT_URL_{service.upper().replace('-', '_')}"
    named = (endpoint_url, *(os.environ.get(name) for name in (variable, "AWS_ENDPOINT_URL")))
    region = region or os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or "region"
    return next(filter(None, named), f"https://{service}.{region}.amazonaws.com")


def client(
    service: str,
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    profile: str | None = None,
    connections: int = 10,
    read_seconds: float = _READ_SECONDS,
    tries: int | None = None,
) -> Any:
    """Return a boto3 client that threads may share, and that retries adaptively: each request `TRIES` times at most.

    What is not given is taken as boto3 does: from its environment variables (AWS_ENDPOINT_URL_BEDROCK_RUNTIME and the
    like for the endpoint; AWS_REGION, too, for the region), then its files. `connections` is how many threads ask at
    once, and `tries` how often each request is sent: once for whoever tries again himself. Raises UserError where there
    is no such profile, no region or no credentials.
    """
    from botocore.config import Config

    session = _session(profile)
    region = region or session.region_name or os.environ.get("AWS_REGION")
    if not region:
        raise UserError(
            f"{service}: no AWS region; give one by the key 'region', by AWS_DEFAULT_REGION, or in the profile"
        )
    config = Config(
        retries={"total_max_attempts": tries or TRIES, "mode": "standard" if tries == 1 else "adaptive"},
        connect_timeout=min(_CONNECT_SECONDS, read_seconds),
        read_timeout=read_seconds,
        max_pool_connections=max(connections, 1),
    )
    with explained(service):
        if session.get_credentials() is None and not (service.startswith("bedrock") and os.environ.get(_BEARER_TOKEN)):
            raise UserError(f"{service}: there are no AWS credentials; {_GIVE_CREDENTIALS}")
        try:
            return session.client(service, region_name=region, endpoint_url=endpoint_url, config=config)
        except ValueError as error:
            if "endpoint" not in str(error):
                raise
            raise UserError(f"{service}: {error}; an address starts with https:// or http://") from error


def _session(profile: str | None) -> Any:
    import boto3
    from botocore.exceptions import ProfileNotFound

    try:
        return boto3.Session(profile_name=profile)
    except ProfileNotFound as error:
        wanted = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE") or ""
        raise UserError(f"there is no AWS profile '{wanted}'{suggest(wanted, _profiles())}") from error


def _profiles() -> Iterable[str]:
    import botocore.session

    return tuple(botocore.session.Session().full_config.get("profiles", {}))


@contextmanager
def explained(service: str, *, model: str | None = None) -> Iterator[None]:
    """Turn what boto3 raises into an error for the user, saying what to do.

    Raises UserError where the same request can never succeed: credentials, rights, the model's id, the address.
    Raises StageError where it may: throttled, timed out, broken off, a failure of the service. `error_code` tells the
    code of the cause.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        raise _answered(service, model, error) from error
    except BotoCoreError as error:
        raise _unanswered(service, error) from error


def error_code(error: BaseException) -> str:
    """Return the code that AWS answered with, such as ValidationException; empty where it did not answer."""
    cause: Any = error if hasattr(error, "response") else error.__cause__
    response = getattr(cause, "response", None) or {}  # None where the connection broke
    return str(response.get("Error", {}).get("Code") or "")


_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_NOT_ACCEPTED = (
    "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "InvalidToken",
    "SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature",
    "MissingAuthenticationToken", "MissingAuthenticationTokenException",
)  # fmt: skip
_DENIED = ("AccessDeniedException", "AccessDenied", "UnauthorizedOperation")
_NO_BUCKET = ("NoSuchBucket", "PermanentRedirect", "InvalidBucketName")
_ANSWERS: Mapping[str, str] = {
    **dict.fromkeys(
        _EXPIRED, "the AWS session has expired ({said}); log in again and run again: nothing that was done is lost"
    ),
    **dict.fromkeys(_NOT_ACCEPTED, f"AWS does not accept these credentials ({{said}}); {_GIVE_CREDENTIALS}"),
    **dict.fromkeys(_DENIED, "access denied: {said}; {allow}"),
    **dict.fromkeys(_NO_BUCKET, "{said}; is the bucket's name right, and is it in this region?"),
}
"""What can only succeed once something is changed, by the code of the answer."""
THROTTLED = (
    "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
    "ProvisionedThroughputExceededException", "ServiceQuotaExceededException",
)  # fmt: skip
"""Codes of what is refused because there is too much of it."""
_ABOUT_THE_MODEL = re.compile(
    r"model identifier|model id\b|model not found|on-demand throughput|resolve the foundation"
)


def _answered(service: str, model: str | None, error: Any) -> EmbedrunError:
    """Explain an error that AWS answered with."""
    code = error_code(error)
    message = str(error.response.get("Error", {}).get("Message") or code).strip().rstrip(".")
    allow = "this user or role lacks the right to do it"
    if model:
        allow = (
            f"request access to '{model}' under 'Model access' in the Bedrock console of this region, and allow "
            "bedrock:InvokeModel for it"
        )
    if text := _ANSWERS.get(code):
        return UserError(f"{service}: {text.format(said=message, allow=allow)}")
    wrong_model = code == "ResourceNotFoundException" or _ABOUT_THE_MODEL.search(message.lower().replace("\u2019", "'"))
    if model and wrong_model and code in ("ResourceNotFoundException", "ValidationException"):
        return UserError(
            f"{service}: cannot call the model '{model}': {message}; take an id that this region's model catalog "
            "lists; newer models are called through an inference profile, whose id "
            "starts with us., eu., apac. or global."
        )
    if code in THROTTLED:
        return StageError(
            f"{service}: throttled, even after {TRIES} tries with growing pauses ({message}); lower 'concurrency' or "
            "have the quota raised; answers so far are kept"
        )
    return StageError(f"{service}: {code}: {message}")


def _unanswered(service: str, error: Exception) -> EmbedrunError:
    """Explain an error that boto3 met before AWS answered."""
    from botocore import exceptions as known

    message = str(error).strip().rstrip(".")
    if isinstance(error, (known.ConnectTimeoutError, known.ReadTimeoutError)):
        return StageError(f"{service}: no answer in time: {message}")
    if isinstance(error, known.IncompleteReadError):
        return StageError(f"{service}: the response broke off: {message}")
    match error:
        case known.NoCredentialsError() | known.NoAuthTokenError():
            text = f"there are no AWS credentials; {_GIVE_CREDENTIALS}"
        case known.PartialCredentialsError():
            text = f"the AWS credentials are incomplete: {message}; {_GIVE_CREDENTIALS}"
        case known.SSOError() | known.TokenRetrievalError():
            text = f"the AWS login has expired ({message}); run `aws sso login`, then run again"
        case known.EndpointConnectionError() | known.ProxyConnectionError() | known.SSLError():
            text = (
                f"nothing answers there: {message}; is the region right, does it have this service, and do "
                "'endpoint_url', AWS_ENDPOINT_URL and the proxy's variables hold what they should?"
            )
        case known.HTTPClientError():
            return StageError(f"{service}: the connection broke: {message}")
        case _:
            text = message
    return UserError(f"{service}: {text}")
