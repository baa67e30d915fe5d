"""Answers that are kept for every run of a store."""

from __future__ import annotations

import subprocess
import sys
import time

from embedrun_plugins.services.answer_cache import Answers

BEGINS = """
import sys, time
from pathlib import Path
from embedrun_plugins.services.answer_cache import Answers
folder, number, start = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
for attempt in range(40):
    while time.time() < start + attempt * 0.05:
        pass
    Answers(folder / str(attempt)).keep({"number": number}, number)
"""


def test_plugins_find_it_by_a_name_that_stays():
    import embedrun.answers
    import embedrun.bootstrap
    import embedrun_plugins.answers
    from embedrun_plugins.stages.evaluators.paired_differences import comparison

    assert embedrun.answers.Answers is embedrun_plugins.answers.Answers is Answers
    assert embedrun.bootstrap.comparison is comparison


def test_several_processes_may_begin_a_file_at_once(tmp_path):
    start = time.time() + 3
    runs = [
        subprocess.Popen([sys.executable, "-c", BEGINS, str(tmp_path), str(number), str(start)]) for number in range(4)
    ]
    assert [run.wait(60) for run in runs] == [0] * 4
    for attempt in range(40):
        kept = Answers(tmp_path / str(attempt)).get_all([{"number": number} for number in range(5)])
        assert kept == [0, 1, 2, 3, None]
