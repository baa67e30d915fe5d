"""A hostile container, on a real engine, and a hostile training job: nothing of theirs is followed, believed or run."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

import pytest

import vandal

LATER = (("show", "r"), ("verify", "r"), ("resources",), ("gc",), ("delete", "r"))
"""Commands that read what was left."""


def outside(project) -> dict[str, tuple[int, bytes]]:
    """Return all that lies beside the runs: modes and contents."""
    files = [path for path in project.folder.rglob("*") if "runs" not in path.parts]
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in files
        if not {"__pycache__", "ledger"} & {*path.parts}
    }


def require_harmless(project, name: str, before, done) -> None:
    """Require that a run ended with an answer, and that no later command follows, believes or runs what was left."""
    assert done.code in (0, 1, 2)
    assert "Traceback" not in done.err, done.err
    for words in LATER:
        said = project.run(*(name if word == "r" else word for word in words))
        assert "Traceback" not in said.err, (words, said.err)
    assert outside(project) == before


@pytest.fixture
def hostile(project):
    shutil.copy(vandal.__file__, project.folder / "vandal.py")
    project.write("model/config.json", "{}")
    project.write("precious/victim", "precious\n")
    return project


@pytest.mark.docker
@pytest.mark.parametrize(("moment", "said"), [("run", "no plain file"), ("end", "run.json: is damaged")])
def test_what_a_hostile_container_leaves_changes_and_runs_nothing(hostile, image, moment, said):
    victim, ran = hostile.folder / "precious/victim", hostile.folder / "ran"
    hostile.write(
        "r.yaml",
        f"""
model: model
plugins: [fakes.py, vandal.py]
source: {{type: vandal, folders: [{hostile.folder}/runs], victim: {victim}, ran: {ran}, moment: {moment}}}
loss: fake
trainer: {{type: fake}}
evaluator: fake
runtime: {{type: docker, image: '{image.reference}', gpus: none}}
""",
    )
    before = outside(hostile)
    done = hostile.run("r.yaml")
    assert done.code in (1, 2)
    assert said in done.err
    require_harmless(hostile, "r", before, done)
    [run] = hostile.folder.glob("runs/r/*")
    assert not [path for path in run.rglob("*") if path.is_symlink()]
    again = hostile.run("r.yaml", "--set", "runtime=null", "--set", "source.folders=[]", "--set", "source.moment=run")
    assert again.code == 0, again.err
    require_harmless(hostile, "r", before, again)


@pytest.mark.parametrize(
    ("way", "said"), [("links", "is a link or no plain file"), ("over", "was damaged on its way"), ("beside", "")]
)
def test_what_a_hostile_training_job_leaves_changes_and_runs_nothing(plain, plain_aws, way, said):
    plain.write("precious/victim", "precious\n")
    victim, ran = plain.folder / "precious/victim", plain.folder / "ran"
    plant = shlex.join([sys.executable, vandal.__file__])
    rest = f"{shlex.quote(str(victim))} {shlex.quote(str(ran))} {way}"
    tops = '"$SM_PREFIX"/output/data "$SM_PREFIX"/output/data/* "$SM_PREFIX"/output/data/store/??/*'
    *shell, copy, name = plain_aws.trainings.command
    planted = f'{copy}; for folder in {tops}; do {plant} "$folder" {rest}; done'
    plain_aws.trainings.command = (*shell, planted, name)
    plain_aws.trainings.environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
    before = outside(plain)
    done = plain.run("plain.yaml")
    assert said in done.err
    assert done.code == (1 if said else 0), done.err
    require_harmless(plain, "plain", before, done)
    assert plain_aws.left() == []
    left = [path for path in Path(plain.folder, "runs").rglob("*") if path.is_symlink() or not path.exists()]
    assert left == []
