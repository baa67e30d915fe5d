"""An AWS of one's own, for every plugin that goes there."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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


@pytest.fixture(scope="module")
def plain_account() -> Iterator[LoopbackAws]:
    """Start an account whose endpoints answer without a model, for tests of the calls to AWS alone."""
    import loopback_aws
    import plain_deployment

    with loopback_aws.running(plain_deployment.launch) as account:
        yield account


@pytest.fixture
def plain_aws(plain_account: LoopbackAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> LoopbackAws:
    """Lend that account to one test, whose calls take no longer than they must."""
    import plain_training

    return plain_training.lend(plain_account, monkeypatch, tmp_path)


@pytest.fixture
def plain(project: Any, plain_aws: LoopbackAws) -> Any:
    """A project with a recipe whose job needs no torch."""
    import plain_training

    plain_aws.trainings.command = plain_training.prepare(project)
    return project
