"""Memory that training uses again stays with the process, and is given back afterwards."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from embedrun_plugins.models.padding_free import allocation


def resident() -> float:
    """Return this process's memory in MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_is_freed_is_kept_and_given_back_at_the_end():
    before = resident()
    with allocation.keep_freed_memory():
        torch.ones(64 * 2**20 // 4)
        within = resident()
    if within - before < 32:
        pytest.skip("another C library, or memory that was there already")
    assert resident() - before < 32


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    with allocation.keep_freed_memory():
        assert torch.ones(2).sum() == 2
