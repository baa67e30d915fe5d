"""What a run says where there is no terminal."""

from __future__ import annotations

import io
import itertools
import time

import pytest

from embedrun.finished import Finished
from embedrun_plugins.services import plain_console
from embedrun_plugins.services.pace import Pace
from embedrun_plugins.services.plain_console import PlainConsole


class Stream(io.StringIO):
    """Remembers when each line came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def write(self, text: str) -> int:
        if "\n" in text:
            self.times.append(time.monotonic())
        return super().write(text)


@pytest.fixture
def stream(monkeypatch):
    monkeypatch.setattr(plain_console, "INTERVAL", 0.5)
    return Stream()


def test_a_stage_that_reports_nothing_is_not_silent(stream):
    console = PlainConsole(stream)
    console.started("source", "hub")
    time.sleep(1.3)
    console.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) >= 3
    assert lines[1].startswith("source: still running after")
    assert max(later - earlier for earlier, later in itertools.pairwise(stream.times)) < 0.7


def test_lines_say_how_far_it_is_how_fast_and_how_long_it_takes(stream):
    console = PlainConsole(stream)
    console.started("trainer", "fake")
    for step in range(1, 13):
        console.progress(f"training, loss {1 / step:.2f}", step, 1000)
        time.sleep(0.1)
    console.finished(Finished("trainer", "fake", None))
    lines = stream.getvalue().splitlines()
    assert len([line for line in lines if "training" in line]) >= 2
    assert all("of 1,000" in line and "/s" in line and "left" in line for line in lines if "training, loss" in line)
    count = len(stream.times)
    time.sleep(0.8)
    assert len(stream.times) == count, "nothing is said of a stage that has ended"


def test_the_rate_is_that_of_what_is_counted_now():
    pace = Pace()
    pace.report("encode queries", 100, 100)
    pace.report("encode documents", 0, 50)
    assert pace.speed() == []
    time.sleep(0.1)
    pace.report("encode documents", 10, 50)
    assert 50 < pace.rate() < 100
