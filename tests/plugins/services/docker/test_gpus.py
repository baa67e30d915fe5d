"""GPUs are asked for where there are any, and what goes wrong with them is explained."""

from __future__ import annotations

import pytest

from embedrun_plugins.services.docker import gpus


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("none", []), (0, []), ("all", [(-1, [])]), (2, [(2, [])]), ((0, "GPU-3faa8319"), [(0, ["0", "GPU-3faa8319"])])],
)
def test_every_way_to_name_gpus_becomes_dockers_own(asked, expected):
    pytest.importorskip("docker")
    found = [(request["Count"] or 0, request["DeviceIDs"] or []) for request in gpus.request(asked)]
    assert found == expected


def test_an_engine_that_knows_nvidia_gives_all_gpus_unless_told_otherwise():
    info = {"Runtimes": {"runc": {}, "nvidia": {}}}
    assert gpus.chosen(None, info) == "all"
    assert gpus.chosen("none", info) == "none"
    assert gpus.chosen(1, {}) == 1


@pytest.mark.parametrize(
    ("said", "explained"),
    [
        ('could not select device driver "" with capabilities: [[gpu]]', "install the NVIDIA Container Toolkit"),
        (
            "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=13.0, please update your driver",
            "is too old for the image (cuda>=13.0)",
        ),
        ("nvidia-container-cli: initialization error: nvml error: driver not loaded", "is not loaded"),
        ("nvidia-container-cli: device error: 7: unknown device", "no such GPU"),
    ],
)
def test_an_engine_that_refuses_gpus_is_understood(said, explained):
    said = str(gpus.refusal(f"OCI runtime create failed: {said}: unknown", "deployer.gpu"))
    assert explained in said
    assert said.startswith("deployer.gpu: ")


def test_a_refusal_about_anything_else_is_left_to_others():
    assert gpus.refusal("port is already allocated", "runtime.gpus") is None


@pytest.mark.parametrize(
    ("supported", "built_for", "explained"),
    [
        ((12, 4), (13, 0), "supports CUDA 12.4, and the image's torch needs 13.0 (driver 580 or newer)"),
        (None, (13, 0), "sees no NVIDIA driver"),
        ((13, 0), None, "a build for CPUs"),
    ],
)
def test_a_driver_that_torch_could_not_use_is_told_instead_of_training_on_the_cpu(supported, built_for, explained):
    assert explained in str(gpus._fault(supported, built_for))


@pytest.mark.parametrize("supported", [(13, 0), (13, 1), (14, 0)])
def test_a_driver_of_the_same_major_version_or_a_newer_one_will_do(supported):
    assert gpus._fault(supported, (13, 0)) is None


def test_what_torch_was_built_for_is_known_without_importing_it(tmp_path, monkeypatch):
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('imported')")
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.13.0'\ncuda: Optional[str] = '13.0'\nhip = None\n")
    monkeypatch.setattr(gpus, "find_spec", lambda _: type("Spec", (), {"origin": str(tmp_path / "torch/__init__.py")}))
    assert gpus._built_for() == (13, 0)
    (tmp_path / "torch" / "version.py").write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\n")
    assert gpus._built_for() is None
