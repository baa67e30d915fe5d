"""What a run was made in is written down, and differences are told."""

from __future__ import annotations

import pytest

from embedrun.record import RunRecord
from embedrun_plugins.results.reproduce import environments


@pytest.fixture
def machine(tmp_path):
    """A /proc of a machine with two GPUs."""
    files = {
        "cpuinfo": "processor\t: 0\nmodel name\t: Fast  CPU @ 2.0GHz\n\nprocessor\t: 1\nmodel name\t: Fast  CPU\n",
        "driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1\nGCC version: 12\n",
        "driver/nvidia/gpus/0000:01:00.0/information": "Model: \t\t NVIDIA H100\nIRQ: 1\n",
        "driver/nvidia/gpus/0000:02:00.0/information": "Model: \t\t NVIDIA H100\nIRQ: 2\n",
    }
    for name, text in files.items():
        file = tmp_path / "proc" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
    return tmp_path / "proc"


def recorded(tmp_path, **environment) -> RunRecord:
    return RunRecord(tmp_path, {"environment": {"packages": {}, **environment}, "stages": []})


def test_processor_gpus_and_their_driver_are_written_down(tmp_path, machine, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    run = recorded(tmp_path)
    environments.write_down(run, machine)
    written = run.environment
    assert written["processor"] == "Fast CPU @ 2.0GHz"
    assert written["gpus"] == ["NVIDIA H100", "NVIDIA H100"]
    assert written["driver"] == "NVIDIA UNIX x86_64 Kernel Module 580.1"
    assert written["threads"] == "3"
    assert "tokenizers" in written["packages"]


def test_what_was_written_in_a_container_stands(tmp_path, machine):
    run = recorded(tmp_path, processor="the container's")
    environments.write_down(run, machine)
    assert run.environment == {"packages": {}, "processor": "the container's"}


def test_a_system_that_tells_nothing_is_no_error(tmp_path):
    run = recorded(tmp_path)
    environments.write_down(run, tmp_path / "nowhere")
    assert run.environment["gpus"] == []
    assert run.environment["driver"] is None


def test_differences_are_told_by_name(tmp_path):
    then = recorded(tmp_path, cpus=2, packages={"torch": "1", "peft": "1"}, git={"commit": "a" * 40, "changed": False})
    now = recorded(tmp_path, cpus=4, packages={"torch": "2", "faiss": "3"}, git={"commit": "a" * 40, "changed": True})
    assert environments.differences(then, now) == [
        "torch 1 then, 2 now",
        "peft 1 then, none now",
        "cpus 2 then, 4 now",
        "git commit aaaaaaaaaaaa then, aaaaaaaaaaaa with changes now",
        "faiss none then, 3 now",
    ]


def test_what_an_older_record_does_not_know_of_is_no_difference(tmp_path):
    assert environments.differences(recorded(tmp_path), recorded(tmp_path, threads="4", gpus=["one"])) == []
