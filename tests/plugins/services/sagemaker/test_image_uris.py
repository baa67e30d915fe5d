"""Which of AWS's containers serves, by the lists of its SDK."""

from __future__ import annotations

import socket
import sys

import pytest

from embedrun.errors import UserError
from embedrun_plugins.services.sagemaker import image_uris


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("nothing may be asked of a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_newest_that_suits_the_instance_is_taken_without_any_network():
    cpu, gpu = (image_uris.hugging_face("eu-west-1", kind) for kind in ("ml.m5.xlarge", "ml.g5.xlarge"))
    assert cpu.startswith("763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-pytorch-inference:")
    assert "-cpu-" in cpu
    assert "-gpu-" in gpu
    assert "transformers" in cpu
    assert "/tei-cpu:" in image_uris.tei("us-east-1", "ml.c5.xlarge")
    assert "/tei:" in image_uris.tei("us-east-1", "ml.g4dn.xlarge")


@pytest.mark.parametrize(
    ("instance_type", "gpu"),
    [
        *((name, True) for name in ("ml.g4dn.xlarge", "ml.g6e.12xlarge", "ml.gr6.4xlarge", "ml.p4de.24xlarge")),
        *((name, True) for name in ("ml.p5.48xlarge", "ml.p6-b200.48xlarge", "ml.p6e-gb200.36xlarge")),
        *((name, False) for name in ("ml.m5.xlarge", "ml.c7i.large", "ml.m6gd.large", "ml.inf2.xlarge")),
    ],
)
def test_the_type_of_an_instance_tells_whether_it_has_a_gpu(instance_type, gpu):
    assert image_uris.has_gpu(instance_type) is gpu


def test_a_region_without_a_container_is_said():
    with pytest.raises(UserError, match=r"no huggingface container for mars-1: .*name one by 'image'"):
        image_uris.hugging_face("mars-1", "ml.m5.xlarge")


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("683313688378.dkr.ecr.us-east-1.amazonaws.com/tei:2.0.1-tei1.8.2-gpu-py310-cu122-ubuntu22.04", "1.8"),
        ("1.dkr.ecr.us-east-1.amazonaws.com/mine/text-embeddings-inference:cpu-1.9", "1.9"),
        ("1.dkr.ecr.us-east-1.amazonaws.com/mine:latest", None),
    ],
)
def test_the_version_of_tei_is_read_off_the_image(image, version):
    assert image_uris.tei_version(image, "ml.m5.xlarge") == version


@pytest.mark.parametrize("kind", ["ml.c5.xlarge", "ml.g5.xlarge"])
def test_the_version_of_awss_own_is_that_of_the_container_that_would_be_taken(kind, monkeypatch):
    assert (
        image_uris.tei_version(image_uris.tei("us-east-1", kind), kind)
        == image_uris.tei_version(None, kind)
        is not None
    )
    known = image_uris._uris()
    framework = image_uris.TEI_CPU if kind == "ml.c5.xlarge" else image_uris.TEI
    later = {"inference": {"versions": {"1.8.2": {}, "1.10.0": {}}}}
    monkeypatch.setattr(known, "config_for_framework", {framework: later}.__getitem__)
    assert image_uris.tei_version(None, kind) == "1.10"
    monkeypatch.setitem(sys.modules, "sagemaker.core", None)
    assert image_uris.tei_version(None, kind) is None
