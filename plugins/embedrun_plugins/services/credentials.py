"""Fields that name an environment variable, so that what it holds is written nowhere."""

from __future__ import annotations

import os
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from embedrun.errors import UserError

_NAME = r"^[A-Za-z_]\w*$"
SECRET = re.compile(
    r"\b((hf|sk|pk|rk|gh[a-z]|github_pat|xox[a-z])_\w{16,}|(sk|xox[a-z])-[\w-]{16,}|A(KIA|SIA)[A-Z0-9]{12,})"
)
"""What tokens and keys of the usual services look like."""


def variable(name: str) -> str:
    """Return the name; raises ValueError, without repeating it, where it may be the secret itself."""
    if SECRET.fullmatch(name) or not re.fullmatch(_NAME, name, re.ASCII):
        raise ValueError(
            "must be the name of an environment variable, not the token itself or the key; if it was one, revoke it"
        )
    return name


_SENT: set[str] = set()
"""Every key that this process read to send it."""
_SHORTEST = 6
"""Characters of a key; what is shorter is no secret, and may be a part of any word."""


def redacted(text: str) -> str:
    """Return what a service wrote, without the keys that were sent to it: some repeat them in their errors."""
    for key in sorted(_SENT, key=len, reverse=True):
        text = text.replace(key, "(key)") if len(key) >= _SHORTEST else text
    return text


VariableName = Annotated[str, AfterValidator(variable), Field(json_schema_extra={"pattern": _NAME})]
"""The name of an environment variable; an error about it never repeats what was given."""


def secret(name: str, whose: str) -> str:
    """Return the key that a variable holds, to be sent as a header; `whose` names the service in errors.

    Raises UserError, without repeating it, where it is not set or cannot be sent.
    """
    key = os.environ.get(name, "").strip()
    if not key:
        raise UserError(f"{whose}: the environment variable {name} is not set; it must hold the key")
    _SENT.add(key)
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            f"{whose}: the environment variable {name} holds no key: a key has neither line breaks nor letters of "
            "other scripts"
        )
    return key
