"""What a runtime leaves is hostile: the host follows no link of it, and runs nothing of it."""

from __future__ import annotations

import json
import os
import socket

import pytest

from embedrun import PluginError, RunRecord
from embedrun.store import Build, Store

RUNTIME = '''
"""A runtime that carries the run out and then leaves something in the run's folder, as a container may."""
import os
from typing import Literal
from embedrun import RunRecord, Runtime, hookimpl


class Hostile(Runtime):
    """Hostile."""

    type: Literal["hostile"] = "hostile"

    def run(self, job):
        code = job.here()
        folder = job.run_folder
        %s
        return code


@hookimpl
def embedrun_stages():
    return [Hostile]
'''
RECIPE = "model: model\nplugins: [fakes.py, hostile.py]\nsource: fake\nevaluator: fake\nruntime: hostile\n"


@pytest.fixture
def hostile(project):
    """Runs a recipe on a runtime that ends with some lines of Python."""
    project.write("model/config.json", "{}")
    project.write("r.yaml", RECIPE)
    victim = project.write("victim", "precious\n")

    def run(lines: str):
        project.write("hostile.py", RUNTIME % "\n        ".join(lines.splitlines()))
        outcome = project.run("r.yaml", "--offline")
        assert "Traceback" not in outcome.err
        assert victim.read_text() == "precious\n"
        return outcome

    return run


@pytest.mark.parametrize(
    "name", ["run.json", ".run.json", "log.jsonl", "report.html", "recipe.lock.json", "deployments"]
)
def test_a_link_that_a_runtime_leaves_is_neither_followed_nor_kept(hostile, project, name):
    victim = str(project.folder / "victim")
    outcome = hostile(f"(folder / {name!r}).unlink(missing_ok=True)\n(folder / {name!r}).symlink_to({victim!r})")
    assert outcome.code == 1
    assert f"left {name} in the run's folder, which is no plain file" in outcome.err
    (run,) = project.folder.glob("runs/r/*")
    assert not [path for path in run.rglob("*") if path.is_symlink()]
    assert RunRecord.read(run).status == "failed"


@pytest.mark.parametrize(
    "lines", ["os.mkfifo(folder / 'pipe')", "os.unlink(folder / 'run.json'); os.mkfifo(folder / 'run.json')"]
)
def test_a_pipe_that_a_runtime_leaves_hangs_nobody(hostile, lines):
    outcome = hostile(lines)
    assert outcome.code == 1
    assert "no plain file" in outcome.err


@pytest.mark.parametrize(
    "damage",
    ["null", "[]", "{", '{"stages": 5, "store": "x"}', '{"stages": [{"slot": 3}], "store": []}', "[" * 100_000],
)
def test_a_record_that_a_runtime_damages_fails_the_run_in_one_message(hostile, damage):
    outcome = hostile(f"(folder / 'run.json').write_text({damage!r})")
    assert outcome.code in (1, 2)
    assert len(outcome.err.strip().splitlines()) < 15


def test_what_is_the_hosts_own_in_a_record_stays_as_it_was(hostile, project):
    hostile("RunRecord.read(folder).change(store='/etc', name='x', plugins={'a': 'b'}, command=['rm'])")
    (run,) = project.folder.glob("runs/r/*")
    record = RunRecord.read(run)
    assert record.store == (project.folder / "runs/.store").resolve()
    assert record.name == "r"
    assert "rm" not in record.command


def test_code_that_a_runtime_leaves_in_the_runs_folder_is_never_run(hostile, project):
    ran = project.folder / "ran"
    code = f"open({str(ran)!r}, 'w').close()"
    hostile(
        "(folder / 'plugins/9').mkdir()\n"
        f"(folder / 'plugins/9/evil.py').write_text({code!r})\n"
        f"(folder / 'plugins/0/fakes.py').write_text({code!r})"
    )
    for command in ("show", "compare", "delete", "verify"):
        words = ["r", "r"] if command == "compare" else ["r"]
        assert "Traceback" not in project.run(command, *words).err
    assert not ran.exists()


def _planted(folder, kind):
    path = folder / "extra"
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"link": "/etc/hostname", "link to nothing": "nowhere", "linked folder": "/etc"}[kind])


@pytest.mark.parametrize("kind", ["link", "link to nothing", "linked folder", "pipe", "socket"])
def test_a_stored_result_holds_plain_files_alone(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    store, key = Store(tmp_path / "store"), "ab" * 32
    with store.building(key) as build:
        assert isinstance(build, Build)
        (build.out / "file").write_text("x")
        _planted(build.out, kind)
        with pytest.raises(PluginError, match="wrote extra, which is a link or no plain file"):
            store.publish(key, build, {})
        (build.out / "extra").unlink()
        stored = store.publish(key, build, {})
    assert store.get(key)
    _planted(stored.out, kind)
    assert store.get(key) is None


@pytest.mark.parametrize("name", ["../../../../victim", "/etc/hostname", "a\0b", "x" * 400])
def test_a_manifest_that_lists_a_file_elsewhere_is_none(tmp_path, name):
    store, key = Store(tmp_path / "store"), "ab" * 32
    with store.building(key) as build:
        (build.out / "file").write_text("x")
        stored = store.publish(key, build, {})
    manifest = json.loads((stored.path / "manifest.json").read_text())
    manifest["files"][name] = manifest["files"]["file"]
    (stored.path / "manifest.json").write_text(json.dumps(manifest))
    assert store.get(key) is None


def test_a_build_never_goes_on_through_links_that_somebody_left(tmp_path):
    store, key, outside = Store(tmp_path / "store"), "ab" * 32, tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "store/tmp" / key / "state").mkdir(parents=True)
    (tmp_path / "store/tmp" / key / "out").symlink_to(outside)
    (tmp_path / "store/tmp" / key / "state/checkpoint").symlink_to(outside)
    with store.building(key) as build:
        assert isinstance(build, Build)
        assert not build.out.is_symlink()
        assert list(build.state.iterdir()) == []
        (build.out / "file").write_text("x")
        store.publish(key, build, {})
    assert list(outside.iterdir()) == []
