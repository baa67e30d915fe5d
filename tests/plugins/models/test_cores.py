"""Threads fit the cores that a process may use."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from embedrun_plugins.models import cores


@pytest.fixture
def groups(tmp_path, monkeypatch):
    """Control groups as a kernel shows them, of a machine with 64 cores."""
    monkeypatch.setattr(cores, "_GROUPS", tmp_path / "groups")
    monkeypatch.setattr(cores, "_OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)

    def write(own: str, **files: str) -> int:
        (tmp_path / "own").write_text(own)
        for name, content in files.items():
            file = tmp_path / "groups" / name.replace("__", "/").replace("cpu_", "cpu.")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)
        return cores.usable_cores()

    return write


def test_a_quota_of_the_group_or_of_one_around_it_counts(groups):
    assert groups("0::/pod/task\n") == 64
    assert groups("0::/pod/task\n", pod__task__cpu_max="max 100000\n") == 64
    assert groups("0::/pod/task\n", pod__cpu_max="350000 100000\n") == 3
    assert groups("0::/pod/task\n", pod__task__cpu_max="50000 100000\n") == 1
    assert groups("0::/\n", cpu_max="800000 100000\n") == 8


def test_the_older_kind_of_groups_counts(groups):
    own = "4:memory:/\n3:cpu,cpuacct:/docker/1\n"
    assert groups(own, **{"cpu__cpu.cfs_quota_us": "-1\n", "cpu__cpu.cfs_period_us": "100000\n"}) == 64
    assert groups(own, **{"cpu__cpu.cfs_quota_us": "200000\n", "cpu__cpu.cfs_period_us": "100000\n"}) == 2


def test_processes_share_the_cores_unless_the_user_chose(groups):
    groups("0::/\n", cpu_max="800000 100000\n")
    for given, threads in (
        ({}, "4"),
        ({"OMP_NUM_THREADS": "8", "EMBEDRUN_THREADS": "8"}, "4"),
        ({"OMP_NUM_THREADS": "3"}, "3"),
    ):
        environment = dict(given)
        cores.shared_threads(environment, 2)
        assert environment["OMP_NUM_THREADS"] == threads


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs two cores to choose of")
@pytest.mark.parametrize(("chosen", "threads"), [(None, "1"), ("2", "2")])
def test_a_process_bound_to_one_core_starts_one_thread_unless_told(chosen, threads):
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from embedrun_plugins.models import cores; cores.fit_threads()\n"
        "print(os.environ['OMP_NUM_THREADS'])"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {"OMP_NUM_THREADS": chosen} if chosen else {}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == threads
