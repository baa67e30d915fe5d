"""An AWS of one's own, for every plugin that goes there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from loopback_aws import LoopbackAws
    from sagemaker_simulator import Launch


@pytest.fixture
def aws_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[Launch], LoopbackAws]]:
    """Start an account that this process's environment points at, told what runs behind its endpoints."""
    import loopback_aws

    with contextlib.ExitStack() as stack:

        def start(launch: Launch) -> LoopbackAws:
            account = stack.enter_context(loopback_aws.running(launch))
            account.use(monkeypatch, tmp_path)
            return account

        yield start
