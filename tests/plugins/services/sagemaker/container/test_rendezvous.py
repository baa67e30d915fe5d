"""The first machine hands out what is trained on, to the job's machines alone, and whole."""

from __future__ import annotations

import http.client
import io
import socket
import tarfile

import pytest

from embedrun.errors import StageError
from embedrun_plugins.services.distributed.nodes import Nodes
from embedrun_plugins.services.sagemaker.container import follower
from embedrun_plugins.services.sagemaker.container.archives import unpack
from embedrun_plugins.services.sagemaker.container.follower import Leader
from embedrun_plugins.services.sagemaker.container.rendezvous import opened

START = {"worker": "a.module", "job": "job.json", "processes": 1, "who": "training", "offline": True}


@pytest.fixture
def job(tmp_path):
    """A job's folder, with a link to data that lies elsewhere."""
    folder = tmp_path / "job"
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/corpus.jsonl").write_text("a line\n", "utf-8")
    folder.mkdir()
    (folder / "data").symlink_to(tmp_path / "elsewhere")
    (folder / "job.json").write_text("{}", "utf-8")
    return folder


def test_a_job_is_handed_out_with_what_its_links_lead_to(job, tmp_path, free_port):
    with opened(tmp_path / "outbox", ["127.0.0.1", "127.0.0.2"], "127.0.0.1", free_port) as desk:
        first = Leader("127.0.0.1", free_port, "127.0.0.2")
        Nodes(2, 0, "127.0.0.1", free_port, str(tmp_path / "outbox")).hand_out(job, START)
        assert first.next(0, 5) == {"job": START}
        first.fetch(0, tmp_path / "there")
        assert (tmp_path / "there/data/corpus.jsonl").read_text("utf-8") == "a line\n"
        assert not (tmp_path / "there/data").is_symlink()
        first.failed("127.0.0.2: no memory")
        assert desk.failures == ["127.0.0.2: no memory"]
        desk.end = {"code": 143, "reason": ""}
        assert first.has_ended(5)
        assert desk.told == set()  # who only looks has not been told
        assert first.next(1, 5) == {"end": {"code": 143, "reason": ""}}
        assert desk.told == {"127.0.0.2"}
        with pytest.raises(StageError, match="cannot be fetched"):
            first.fetch(7, tmp_path / "nothing")
    with pytest.raises(StageError, match="does not answer"):
        first.next(1, 0)


def test_a_first_machine_that_falls_silent_in_the_midst_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(follower, "_SILENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        first = Leader("127.0.0.1", silent.getsockname()[1], "127.0.0.2")
        with pytest.raises(StageError, match="cannot be fetched: timed out"):
            first.fetch(0, tmp_path / "there")


def test_strangers_are_refused(tmp_path, free_port):
    with opened(tmp_path / "outbox", ["127.0.0.1"], "127.0.0.1", free_port):
        connection = http.client.HTTPConnection("127.0.0.1", free_port, source_address=("127.0.0.9", 0))
        connection.request("GET", "/next/0/127.0.0.1")
        assert connection.getresponse().status == 403
        connection.close()


def test_nothing_is_written_outside_the_jobs_folder(tmp_path):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("../outside"), io.BytesIO())
    packed.seek(0)
    with tarfile.open(fileobj=packed) as archive, pytest.raises(tarfile.TarError, match="does not belong there"):
        unpack(archive, tmp_path / "job")
    assert not (tmp_path / "outside").exists()
