"""The ledger: on the disk before anything is made, whole after a crash, one for a user's projects."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from embedrun.errors import StoreError
from embedrun_plugins.services import aws as aws_clients
from embedrun_plugins.services.ledger import delete
from embedrun_plugins.services.ledger import ledger as entries
from embedrun_plugins.services.ledger.aws_clients import Clients
from embedrun_plugins.services.ledger.ledger import Ledger, Location, Resource
from embedrun_plugins.services.ledger.overview import living
from embedrun_plugins.services.ledger.s3 import remove_objects
from loopback_aws import LoopbackAws
from model_containers import script

PLACE = Location(account="123456789012", region="us-east-1")


@pytest.fixture
def aws(aws_account) -> LoopbackAws:
    return aws_account(script)


def test_it_lies_where_a_users_state_belongs(monkeypatch, tmp_path):
    monkeypatch.delenv("EMBEDRUN_LEDGER", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert Ledger().folder == tmp_path / "embedrun" / "ledger"
    monkeypatch.setenv("EMBEDRUN_LEDGER", str(tmp_path / "mine"))
    entry = Ledger().open(run="a/1", hours=1, deployer="sagemaker", place=PLACE)
    assert stat.S_IMODE(entry.file.stat().st_mode) == 0o600
    assert stat.S_IMODE(entry.file.parent.stat().st_mode) == 0o700


def test_what_is_written_is_on_the_disk_when_adding_returns(monkeypatch, tmp_path):
    synced: list[int] = []
    monkeypatch.setattr(entries.os, "fsync", lambda number: synced.append(os.fstat(number).st_mode))
    entry = Ledger(tmp_path).open(run="a/1", hours=None, deployer="sagemaker", place=PLACE)
    synced.clear()
    entry.add(Resource(kind="endpoint", name="x"))
    assert [stat.S_ISDIR(mode) for mode in synced] == [False, True]  # the file, then the folder that names it


def test_a_crash_while_it_is_written_leaves_the_old_one_whole(monkeypatch, tmp_path):
    entry = Ledger(tmp_path).open(run="a/1", hours=None, deployer="sagemaker", place=PLACE)
    entry.add(Resource(kind="model", name="m"))

    def crash(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(entries.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        entry.add(Resource(kind="endpoint", name="x"))
    (found,) = Ledger(tmp_path).entries()
    assert found[1].resources == (Resource(kind="model", name="m"),)


def test_several_writers_lose_nothing(tmp_path):
    entry = Ledger(tmp_path).open(run="a/1", hours=None, deployer="sagemaker", place=PLACE)
    wanted = [Resource(kind="s3", name=f"s3://b/{number}") for number in range(20)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(entry.add, wanted))
    record = entry.read()
    assert record is not None
    assert set(record.resources) == set(wanted)


def test_nothing_may_be_made_where_nothing_can_be_written_down(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"cannot be made: .*; set EMBEDRUN_LEDGER"):
        Ledger(tmp_path / "file" / "ledger").open(run="a/1", hours=1, deployer="sagemaker", place=PLACE)


def test_a_damaged_entry_is_shown_and_not_passed_over(tmp_path):
    (tmp_path / "1.json").write_text("{")
    with pytest.raises(StoreError, match="look at it, and remove by hand what it names"):
        list(Ledger(tmp_path).entries())


def test_a_damaged_entry_does_not_keep_the_others_from_being_removed(aws, project, monkeypatch):
    ledger = Ledger()
    ledger.open(run="shop/1", hours=1, deployer="sagemaker", place=PLACE).add(Resource(kind="model", name="gone"))
    (ledger.folder / "0.json").write_text("{")
    done = project.run("delete", "--all")
    assert done.code == 2
    assert "deleted sagemaker of shop/1: model gone" in done.out
    assert "0.json: cannot be read" in done.err
    assert [file.name for file in ledger.folder.glob("*.json")] == ["0.json"]


def test_deployments_of_one_place_share_their_clients(aws, monkeypatch):
    made, make = [], aws_clients.client
    monkeypatch.setattr(aws_clients, "client", lambda service, **about: made.append(service) or make(service, **about))
    for number in range(3):
        entry = Ledger().open(run=f"shop/{number}", hours=1, deployer="sagemaker", place=PLACE)
        entry.add(Resource(kind="endpoint", name=f"e{number}"))
    assert [row["status"] for row in living(ask=True)] == ["gone"] * 3
    assert made == ["sagemaker"]
    assert delete.of_ledger(lambda _: None, only_expired=False).count == 3
    assert made == ["sagemaker", "sts", "sagemaker"]


def test_a_run_is_found_by_its_folder_and_by_its_name_once_it_was_moved(tmp_path):
    ledger, run = Ledger(tmp_path / "ledger"), tmp_path / "runs" / "shop" / "1"
    run.mkdir(parents=True)
    ledger.open(run="shop/1", hours=1, deployer="sagemaker", place=PLACE, folder=str(run))
    assert len(list(ledger.of_run(run))) == 1
    other = tmp_path / "elsewhere" / "shop" / "1"
    other.mkdir(parents=True)
    assert list(ledger.of_run(other)) == []  # of the same name, but another's
    run.rename(tmp_path / "gone")
    assert len(list(ledger.of_run(other))) == 1


def test_all_versions_and_broken_off_uploads_go_and_neighbours_stay(aws):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="shop")
    s3.put_bucket_versioning(Bucket="shop", VersioningConfiguration={"Status": "Enabled"})
    for body in (b"1", b"2"):
        s3.put_object(Bucket="shop", Key="run/model.tar.gz", Body=body)
    s3.put_object(Bucket="shop", Key="run/model.tar.gz.other", Body=b"3")
    s3.create_multipart_upload(Bucket="shop", Key="run/model.tar.gz")
    remove_objects(Clients(), "s3://shop/run/model.tar.gz")
    left = s3.list_object_versions(Bucket="shop")
    assert [one["Key"] for one in left["Versions"]] == ["run/model.tar.gz.other"]
    assert "DeleteMarkers" not in left
    assert "Uploads" not in s3.list_multipart_uploads(Bucket="shop")
    remove_objects(Clients(), "s3://shop/run/")
    assert "Versions" not in s3.list_object_versions(Bucket="shop")
    remove_objects(Clients(), "s3://there-is-no-such-bucket/run/")


def test_what_something_that_is_left_lies_in_is_kept_with_it_and_found_later(aws, project):
    s3 = aws.client("s3")
    s3.create_bucket(Bucket="shop")
    s3.put_object(Bucket="shop", Key="run/model.tar.gz", Body=b"1")
    entry = Ledger().open(run="shop/1", hours=1, deployer="sagemaker", place=PLACE)
    entry.add(Resource(kind="bucket", name="shop"), Resource(kind="s3", name="s3://shop/run/"))
    aws.front.failing = lambda _, name: "denied" if name == "S3.DELETE key" else None
    denied = project.run("delete", "--all")
    aws.front.failing = lambda *_: None
    assert denied.code == 2
    assert "shop/1: bucket shop: kept for its s3" in denied.err
    assert project.run("delete", "--all").code == 0
    assert aws.left() == []
