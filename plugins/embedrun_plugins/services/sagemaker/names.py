"""What the resources of a deployment are called, and what they are tagged with."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from embedrun_plugins.services.ledger.ledger import Record

RUN_TAG, RECIPE_TAG, EXPIRES_TAG = "embedrun:run", "embedrun:recipe", "embedrun:expires"
NAME = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"
"""What SageMaker calls a name."""
_LONGEST = 63
_PLAIN = "sagemaker"
"""The deployer whose endpoints are called after the recipe alone."""
_UNTAGGED = re.compile(r"[^\w .:/=+@-]", re.UNICODE)
_LONGEST_TAG = 256


def endpoint_name(recipe: str, deployer: str) -> str:
    """Return the name of an endpoint where none is given: each deployer of a recipe has its own."""
    words = recipe if deployer == _PLAIN else f"{recipe}-{deployer}"
    return _cut(f"embedrun-{re.sub(r'[^a-zA-Z0-9]+', '-', words).strip('-') or 'model'}", _LONGEST)


def version_name(endpoint: str) -> str:
    """Return a name that nothing has yet, for the model and the configuration of one deployment."""
    unique = f"-{time.strftime('%Y%m%d%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
    return _cut(endpoint, _LONGEST - len(unique)) + unique


def default_bucket(region: str, account: str) -> str:
    """Return the bucket that SageMaker's own tools take by default."""
    return f"sagemaker-{region}-{account}"


def own_tags(run: str, recipe: str, record: Record | None) -> dict[str, str]:
    """Return the tags that say which run made something, and until when it is to live."""
    until = f"{record.expires:%Y-%m-%dT%H:%M:%SZ}" if record and record.expires else "never"
    return {RUN_TAG: run, RECIPE_TAG: recipe, EXPIRES_TAG: until}


def tags(values: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags as AWS takes them, without letters that it refuses."""
    return [{"Key": name, "Value": _UNTAGGED.sub("_", value)[:_LONGEST_TAG]} for name, value in values.items()]


def _cut(name: str, length: int) -> str:
    return name[:length].rstrip("-")
