"""What containers and jobs print cannot steer the terminal of who reads it here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from embedrun.errors import StageError
from embedrun_plugins.services.docker.build import _Progress
from embedrun_plugins.services.docker.run import _follow
from embedrun_plugins.services.foreign_output import shown
from embedrun_plugins.services.tei.container import TeiContainer

TITLE = "\x1b]0;renamed\x07"
SEEN = r"\x1b]0;renamed\x07"


@pytest.mark.parametrize(
    ("printed", "seen"),
    [
        ("one\n\ttwo\r\n", "one\n\ttwo\r\n"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("a\x1b[2K\x1b[1Ab", r"a\x1b[2K\x1b[1Ab"),
        (f"a{TITLE}b", f"a{SEEN}b"),
        ("a\x9b2Jb\x08c\x7f", r"a\x9b2Jb\x08c\x7f"),
        ("abc\u202edef", r"abc\u202edef"),
        ("Größe 🙂", "Größe 🙂"),
    ],
)
def test_colours_go_and_what_steers_a_terminal_is_spelled_out(printed, seen):
    assert shown(printed) == seen


def test_a_container_s_output_is_shown_so(capsys):
    pytest.importorskip("docker")
    assert _follow(None, SimpleNamespace(read=lambda: iter([f"step 1{TITLE}\n", "step 2\n"]))) is False
    assert capsys.readouterr().err == f"step 1{SEEN}\nstep 2\n"


def test_so_is_the_end_of_a_server_s_log():
    state = {"Running": False, "OOMKilled": False, "ExitCode": 1}
    ended = SimpleNamespace(reload=lambda: None, attrs={"State": state}, logs=lambda **_: f"no{TITLE}".encode())
    with pytest.raises(StageError) as caught:
        TeiContainer(ended, "http://127.0.0.1:1").wait(5, lambda: None)
    assert str(caught.value).endswith(f"no{SEEN}")


def test_so_is_what_a_build_prints():
    lines: list[str] = []
    events = [{"stream": f"Step 1/2 : RUN x{TITLE}\n"}, {"stream": f"Installing collected packages{TITLE}\n"}]
    progress = _Progress(lines.append, "debian:13", None)
    progress.follow(events)
    assert lines == [f"1/2 RUN x{SEEN}", f"    Installing collected packages{SEEN}"]
    with pytest.raises(StageError) as caught:
        progress.follow([{"error": f"it broke{TITLE}"}])
    assert "\x1b" not in str(caught.value)
