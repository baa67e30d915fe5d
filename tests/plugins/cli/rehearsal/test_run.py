"""What a rehearsal deployed is deleted in the end, whatever happens."""

from __future__ import annotations

from embedrun.testing import tiny_model

DOORS = """
from pathlib import Path
from typing import Literal

from embedrun import Context, Deployer, Endpoint, Model, StageError, hookimpl


class Door(Deployer):
    \"\"\"Notes in a file what is opened and closed.\"\"\"

    type: Literal["door"] = "door"
    name: str
    \"\"\"Which one.\"\"\"
    log: Path
    \"\"\"The file.\"\"\"

    def run(self, ctx: Context, model: Model) -> Endpoint:
        self._note("open")
        return Endpoint(deployer=self.type, path=self.name)

    def delete(self, endpoint: Endpoint) -> None:
        self._note("close")
        if self.name == "second":
            raise StageError("second: its server does not stop")

    def rehearsal(self, rehearsal: object) -> Deployer:
        return self.model_copy()

    def _note(self, what: str) -> None:
        with self.log.open("a") as file:
            file.write(f"{what} {self.name}\\n")


@hookimpl
def embedrun_stages() -> list[type]:
    return [Door]
"""
RECIPE = """
model: tiny
plugins: [fakes.py, doors.py]
source: {type: fake}
deployer:
  - {type: door, name: first, log: log.txt}
  - {type: door, name: second, log: log.txt}
  - {type: door, name: third, log: log.txt}
"""


def test_every_endpoint_is_deleted_even_where_deleting_one_fails(project):
    tiny_model(project.folder / "tiny")
    project.write("doors.py", DOORS)
    project.write("r.yaml", RECIPE)
    done = project.run("r.yaml", "--rehearse")
    assert done.code == 1
    assert "its server does not stop" in done.out + done.err
    lines = (project.folder / "log.txt").read_text().splitlines()
    assert lines[:3] == ["open first", "open second", "open third"]
    assert set(lines[3:]) == {"close first", "close second", "close third"}
