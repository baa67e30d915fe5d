"""A key is never taken for the name of a variable, nor put where everyone may read it."""

from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from embedrun_plugins.services.credentials import VariableName
from embedrun_plugins.services.sagemaker.endpoint_options import Environment

NAMES, ENVIRONMENTS = TypeAdapter(VariableName), TypeAdapter(Environment)
REST = "planted0planted0planted0"
KEYS = [
    *(f"{start}_{REST}" for start in ("hf", "sk", "pk", "rk", "ghp", "gho", "github_pat", "xoxb")),
    *(f"{start}-{REST}" for start in ("sk", "sk-proj", "xoxb", "xoxp")),
    *(f"{start}{REST.upper()}" for start in ("AKIA", "ASIA")),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_refused_without_being_repeated(key):
    for adapter, given in ((NAMES, key), (ENVIRONMENTS, {"TOKEN": key}), (ENVIRONMENTS, {"LINE": f"Bearer {key}"})):
        with pytest.raises(ValidationError, match="token") as raised:
            adapter.validate_python(given)
        assert REST not in raised.value.errors(include_input=False)[0]["msg"]


def test_what_only_looks_a_little_like_one_is_taken():
    for name in ("HF_TOKEN", "AKIA", "GHP_KEY_OF_THE_SERVER", "sk_key"):
        assert NAMES.validate_python(name) == name
    plain = {"MODEL": "sk-short", "PLACE": "s3://hf/models", "LEVEL": "xox", "GROUP": "ASIA"}
    assert ENVIRONMENTS.validate_python(plain) == plain
