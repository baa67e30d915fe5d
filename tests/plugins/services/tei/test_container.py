"""What ends TEI's container before it answers is told apart."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from embedrun.errors import StageError
from embedrun_plugins.services.tei.container import TeiContainer


@pytest.mark.parametrize(
    ("out_of_memory", "said"),
    [
        (True, "was killed for lack of memory before it answered; raise memory"),
        (False, "ended with exit code 137 before"),
    ],
)
def test_a_container_that_someone_killed_is_not_called_out_of_memory(out_of_memory, said):
    state = {"Running": False, "OOMKilled": out_of_memory, "ExitCode": 137}
    ended = SimpleNamespace(reload=lambda: None, attrs={"State": state}, logs=lambda **_: b"")
    with pytest.raises(StageError, match=said):
        TeiContainer(ended, "http://127.0.0.1:1").wait(5, lambda: None)
