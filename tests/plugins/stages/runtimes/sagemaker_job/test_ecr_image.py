"""embedrun's own image gets into ECR once, and is removed from there with what was made for it.

Each test pushes twice over: from a few bytes that only seem to be an engine, and from a real engine.
"""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import fake_registry
from embedrun.errors import EmbedrunError, StageError, UserError
from embedrun_plugins.services import docker
from embedrun_plugins.services.docker import Description
from embedrun_plugins.services.docker import engine as engines
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, LedgerEntry, Location
from embedrun_plugins.stages.runtimes.sagemaker_job.ecr_image import EcrImage
from fake_registry import Registry, Repository

TINY = "embedrun-tests-tiny"
PLACE = Location(account="123456789012", region="us-east-1")


@pytest.fixture
def registry(aws) -> Iterator[Registry]:
    with fake_registry.running() as registry:
        aws.front.services["Ecr"] = registry.call
        yield registry


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.docker)])
def client(request, monkeypatch, tmp_path) -> Any:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    return fake_registry.Engine() if request.param == "fake" else request.getfixturevalue("engine")


@pytest.fixture
def built(client) -> Iterator[Description]:
    """An image of a few bytes, which the engine has."""
    if isinstance(client, fake_registry.Engine):
        yield Description(f"{TINY}:1", client.id, None, 11, "amd64", {}, ())
        return
    client.api.import_image_from_data(layer(), repository=TINY, tag="1")
    found = docker.describe(client, f"{TINY}:1")
    assert found
    yield replace(found, architecture="amd64")
    client.images.remove(found.id, force=True)


def layer() -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        entry = tarfile.TarInfo("word")
        entry.size = 11
        archive.addfile(entry, io.BytesIO(b"a few bytes"))
    return made.getvalue()


def begin() -> LedgerEntry:
    return Ledger().open(run="plain/1", hours=None, deployer="sagemaker (image)", place=PLACE)


def push(client: Any, built: Description, entry: LedgerEntry | None = None) -> str:
    return EcrImage(Clients(), "team/embedrun", "mine").push(client, built, entry or begin(), lambda *_: None)


def tags(client: Any) -> set[str]:
    """Return the names that the engine has for its images."""
    if isinstance(client, fake_registry.Engine):
        return client.tags
    return {tag for image in client.images.list() for tag in image.tags}


def delete_all(project: Any) -> None:
    deleted = project.run("delete", "--all")
    assert deleted.code == 0, deleted.err
    assert list(Ledger().entries()) == []


def test_what_is_pushed_is_found_by_its_digest_and_removed(project, registry, client, built):
    pushing = EcrImage(Clients(), "team/embedrun", "mine")
    assert pushing.find() is None
    uri = push(client, built)
    (digest,) = registry.repositories["team/embedrun"].manifests
    assert uri == f"{registry.address}/team/embedrun@{digest}"
    assert pushing.find() == uri
    assert not any(tag.startswith(registry.address) for tag in tags(client))
    delete_all(project)
    assert registry.repositories == {}


def test_the_login_is_written_into_no_file(project, registry, client, built):
    push(client, built)
    files = [file.read_bytes() for file in project.folder.rglob("*") if file.is_file()]
    assert files
    for secret in (registry.password, registry.login):
        assert not any(secret.encode() in content for content in files)


def test_a_repository_that_was_there_stays_also_where_no_other_may_be_made(project, aws, registry, client, built):
    registry.repositories["team/embedrun"] = Repository()
    aws.front.failing = lambda _, name: "denied" if name == "Ecr.CreateRepository" else None
    push(client, built)
    aws.front.failing = lambda *_: None
    delete_all(project)
    assert registry.repositories == {"team/embedrun": Repository()}


def test_a_repository_with_somebody_elses_image_stays(project, registry, client, built):
    push(client, built)
    registry.repositories["team/embedrun"].manifests["sha256:other"] = b"{}"
    delete_all(project)
    assert list(registry.repositories["team/embedrun"].manifests) == ["sha256:other"]


def test_an_image_for_other_processors_is_refused_before_anything_is_made(registry, client, built):
    entry = begin()
    with pytest.raises(UserError, match="is for arm64, and SageMaker's machines are amd64"):
        push(client, replace(built, architecture="arm64"), entry)
    record = entry.read()
    assert record is not None
    assert record.resources == ()
    assert registry.repositories == {}


def test_a_push_that_ecr_refuses_is_told_and_leaves_nothing(project, registry, client, built):
    registry.refusal = "not authorized to perform: ecr:InitiateLayerUpload"
    with pytest.raises(StageError, match=r"refuses the image: .*ecr:InitiateLayerUpload"):
        push(client, built)
    assert not any(tag.startswith(registry.address) for tag in tags(client))
    delete_all(project)
    assert registry.repositories == {}


def test_whatever_right_is_lacking_is_told_and_leaves_nothing(project, aws, registry):
    client = fake_registry.Engine()
    built = Description(f"{TINY}:1", client.id, None, 11, "amd64", {}, ())
    push(client, built)
    delete_all(project)
    for name in dict.fromkeys(call.name for call in list(aws.front.calls) if call.name.startswith("Ecr.")):
        aws.front.failing = lambda _, asked, name=name: "denied" if asked == name else None
        with contextlib.suppress(EmbedrunError):
            push(client, built)
            assert "Delete" in name
        if "Delete" in name:
            assert "lacks the right" in project.run("delete", "--all").err, name
        aws.front.failing = lambda *_: None
        delete_all(project)
        assert registry.repositories == {}, name


def test_runs_push_their_image_once_and_name_it_by_its_digest(plain, aws, registry, client, built, monkeypatch):
    monkeypatch.setattr(engines, "client", lambda: Lent(client))
    monkeypatch.setattr(docker, "provided", lambda *_: built)
    words = ("plain.yaml", "--set", "runtime.image=null", "--store")
    for store in ("one", "two"):
        done = plain.run(*words, f"stores/{store}")
        assert done.code == 0, done.err
        assert ("once for this version" in done.err) is (store == "one")
    (digest,) = registry.pushed
    uri = f"{registry.address}/embedrun@{digest}"
    assert {job.described["AlgorithmSpecification"]["TrainingImage"] for job in aws.trainings.jobs.values()} == {uri}
    recorded = [json.loads(file.read_text("utf-8"))["image"] for file in plain.folder.glob("runs/plain/*/run.json")]
    assert recorded == [{"reference": uri, "id": None, "digest": uri}] * 2
    assert "image embedrun:" in plain.run("resources").out
    assert plain.run("delete", "plain").code == 0
    assert registry.repositories == {}
    assert list(Ledger().entries()) == []


class Lent:
    """An engine's client that stays open for the next test."""

    def __init__(self, client: Any) -> None:
        self.api, self.info = client.api, client.info

    def close(self) -> None: ...
