"""What a training's processes told says how it ended."""

from __future__ import annotations

import pytest

from embedrun.errors import StageError
from embedrun_plugins.services.distributed.launch import Launch, Start

WORKER = """
import os, time
from embedrun_plugins.services.distributed.parent_process import write_event

if os.environ["RANK"] == "0":
    write_event("stopped")
elif {fails}:
    write_event("error", type="ValueError", message="the disk is full")
    raise SystemExit(1)
"""


@pytest.fixture
def launched(tmp_path):
    def run(*, fails: bool) -> None:
        (tmp_path / "ending_worker.py").write_text(WORKER.format(fails=fails))
        (tmp_path / "job.json").write_text("{}")
        start = Start("ending_worker", "job.json", processes=2, who="the trainer")
        environment = {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
        Launch(tmp_path, start, tmp_path / "log.txt", environment=environment).run(lambda *_: None)

    return run


def test_a_process_that_fails_counts_though_another_one_stopped(launched):
    with pytest.raises(StageError, match="the trainer failed: ValueError: the disk is full"):
        launched(fails=True)


def test_processes_that_all_stopped_are_an_interruption(launched):
    with pytest.raises(KeyboardInterrupt):
        launched(fails=False)
