"""Fields that name an environment variable, so that what it holds is written nowhere."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

_NAME = r"^[A-Za-z_]\w*$"
_SECRET = re.compile(r"(hf|sk|pk|rk|gh[a-z]|xox[a-z])_\w{16,}")


def variable(name: str) -> str:
    """Return the name; raises ValueError, without repeating it, where it may be the secret itself."""
    if _SECRET.fullmatch(name) or not re.fullmatch(_NAME, name, re.ASCII):
        raise ValueError(
            "must be the name of an environment variable, not the token itself or the key; if it was one, revoke it"
        )
    return name


VariableName = Annotated[str, AfterValidator(variable), Field(json_schema_extra={"pattern": _NAME})]
"""The name of an environment variable; an error about it never repeats what was given."""
