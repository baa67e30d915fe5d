"""The image that suits a machine."""

from collections.abc import Iterator

import pytest

from embedrun.errors import UserError
from embedrun_plugins.services.tei import versions
from embedrun_plugins.stages.deployers.tei import TeiDeployer

NAME = "ghcr.io/huggingface/text-embeddings-inference"


@pytest.mark.parametrize(
    ("capability", "tag"),
    [
        ("7.5", "turing-1.9"),
        ("8.0", "1.9"),
        ("8.6", "86-1.9"),
        ("8.9", "89-1.9"),
        ("9.0", "hopper-1.9"),
        ("12.0", "120-1.9"),
        (None, "cpu-1.9"),
    ],
)
def test_the_tag_follows_from_the_gpu(capability: str | None, tag: str) -> None:
    assert versions.image_for(capability) == f"{NAME}:{tag}"
    assert versions.version_of(f"{NAME}:{tag}") == "1.9"


def test_a_gpu_without_an_image_is_refused() -> None:
    with pytest.raises(UserError, match=r"no image for GPUs of compute capability 7\.0, only for 7\.5.*gpu: none"):
        versions.image_for("7.0")


def test_a_cpu_of_another_kind_has_its_own_image() -> None:
    assert versions.image_for(None, "arm64") == f"{NAME}:cpu-arm64-latest"


@pytest.mark.parametrize(
    ("image", "version"),
    [
        (f"{NAME}:hopper-1.8.2", "1.8"),
        (f"registry.example/mirror/text-embeddings-inference:1.9.3@sha256:{'a' * 64}", "1.9"),
        (f"{NAME}:cpu-latest", None),
        ("mine:1.9", None),
    ],
)
def test_the_version_is_what_the_images_name_tells(image: str, version: str | None) -> None:
    assert versions.version_of(image) == version


@pytest.fixture
def asked_anew() -> Iterator[None]:
    versions.capability.cache_clear()
    yield
    versions.capability.cache_clear()


@pytest.mark.usefixtures("asked_anew")
@pytest.mark.parametrize(
    ("script", "expected"),
    [("echo 8.9", "8.9"), ("echo '[N/A]'", None), ("echo 'No devices were found'; exit 6", None)],
)
def test_the_gpu_is_what_nvidias_tool_says(tmp_path, monkeypatch, script: str, expected: str | None) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f'#!/bin/sh\n[ "$1" = --id=1 ] || exit 1\n{script}\n')
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert versions.capability(1) == expected
    assert versions.capability(0) is None


@pytest.mark.usefixtures("asked_anew")
def test_nvidias_tool_is_started_once(tmp_path, monkeypatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho started >> {tmp_path}/starts\necho 8.9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    stage = TeiDeployer()
    assert (stage.on_gpu(), stage.on_gpu(), versions.capability()) == (True, True, "8.9")
    assert (tmp_path / "starts").read_text() == "started\n"
