"""What a rehearsal deployed is deleted in the end, whatever happens."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from embedrun.artifacts import Endpoint
from embedrun.errors import StageError
from embedrun_plugins.cli.rehearsal.run import _deleted


def test_every_endpoint_is_deleted_even_where_deleting_one_fails(tmp_path):
    tried: list[str] = []

    def delete(endpoint: Endpoint) -> None:
        tried.append(endpoint.deployer)
        if endpoint.deployer == "second":
            raise StageError("second: its server does not stop")

    names = ("first", "second", "third")
    for name in names:
        file = tmp_path / "deployments" / name / "endpoint.json"
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"endpoint": {"deployer": name}}))
    stages = tuple(SimpleNamespace(kind="deployer", type=name, delete=delete) for name in names)
    plan = SimpleNamespace(recipe=SimpleNamespace(deployer=stages))
    with pytest.raises(StageError, match="its server does not stop"), _deleted(plan, tmp_path):
        pass
    assert set(tried) == set(names)
