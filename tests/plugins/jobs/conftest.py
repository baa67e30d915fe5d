"""An account, and a recipe whose job needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import loopback_aws
import plain_deployment
import plain_training
from loopback_aws import LoopbackAws


@pytest.fixture(scope="module")
def account() -> Iterator[LoopbackAws]:
    with loopback_aws.running(plain_deployment.launch) as account:
        yield account


@pytest.fixture
def aws(account, monkeypatch, tmp_path) -> LoopbackAws:
    return plain_training.lend(account, monkeypatch, tmp_path)


@pytest.fixture
def plain(project, aws) -> Any:
    aws.trainings.command = plain_training.prepare(project)
    return project
