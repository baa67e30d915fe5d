"""Every test here has an account of its own."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def aws(plain_aws) -> Any:
    return plain_aws
