"""What is published is whole, and what is not is never seen."""

from __future__ import annotations

import json

import pytest

from embedrun.errors import StoreError
from embedrun.file_digests import FileDigests
from embedrun.hashing import file_digest
from embedrun.store import Build, Store, Stored
from embedrun_plugins.cli.gc import remove, unused

KEY = "ab" * 32


def publish(store: Store, key: str = KEY, text: str = "hello") -> Stored:
    with store.building(key) as build:
        assert isinstance(build, Build)
        (build.out / "file.txt").write_text(text)
        return store.publish(key, build, {"notes": {}})


def test_a_published_artifact_is_found_with_its_digest(tmp_path):
    store = Store(tmp_path)
    stored = publish(store)
    found = store.get(KEY)
    assert found is not None
    assert found.digest == stored.digest
    assert (found.out / "file.txt").read_text() == "hello"
    assert not (found.path / "state").exists()


def test_equal_content_has_an_equal_digest(tmp_path):
    store = Store(tmp_path)
    assert publish(store, "ab" * 32).digest == publish(store, "cd" * 32).digest
    assert publish(store, "ef" * 32, "other").digest != publish(store, "01" * 32).digest


def test_a_build_that_breaks_off_is_not_found_and_keeps_its_state(tmp_path):
    store = Store(tmp_path)

    def break_off():
        with store.building(KEY) as build:
            assert isinstance(build, Build)
            (build.out / "half").write_text("x")
            (build.state / "checkpoint").write_text("3")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert store.get(KEY) is None
    with store.building(KEY) as build:
        assert isinstance(build, Build)
        assert list(build.out.iterdir()) == []
        assert (build.state / "checkpoint").read_text() == "3"


def test_a_build_of_what_is_there_already_yields_it(tmp_path):
    store = Store(tmp_path)
    publish(store)
    with store.building(KEY) as build:
        assert isinstance(build, Stored)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("manifest.json", "{"),
        ("manifest.json", "null"),
        ("manifest.json", "{}"),
        ("manifest.json", "[" * 100_000),
        ("manifest.json", "\udcff"),
        ("manifest.json", '{"digest": "x", "files": []}'),
        ("manifest.json", '{"files": {}}'),
        ("manifest.json", '{"digest": "x", "files": {"file.txt": {"size": "5"}}}'),
        ("manifest.json", '{"digest": "x", "files": {}, "notes": [1]}'),
        ("manifest.json", '{"digest": "x", "files": {}, "warnings": 3}'),
        ("manifest.json", None),
        ("out/file.txt", "hell"),
        ("out/file.txt", "hallo"),
        ("out/file.txt", None),
    ],
)
def test_what_is_damaged_is_not_found_and_made_again(tmp_path, file, content):
    store = Store(tmp_path)
    stored = publish(store)
    (stored.path / file).unlink()
    if content is not None:
        (stored.path / file).write_text(content, "utf-8", "surrogateescape")
    assert store.get(KEY) is None
    again = publish(store)
    assert again.digest == stored.digest
    assert (again.out / "file.txt").read_text() == "hello"


def test_one_bit_of_a_large_file_is_noticed(tmp_path):
    store = Store(tmp_path)
    stored = publish(store, text="x" * 3_000_000)
    assert store.get(KEY)
    file = stored.out / "file.txt"
    content = bytearray(file.read_bytes())
    content[1_500_000] ^= 1
    file.write_bytes(content)
    assert store.get(KEY) is None
    assert Store(tmp_path).get(KEY) is None


def test_a_large_file_that_nothing_touched_is_not_read_again(tmp_path, monkeypatch):
    stored = publish(Store(tmp_path), text="x" * 3_000_000)
    assert Store(tmp_path).get(KEY)
    assert str(stored.out / "file.txt") in json.loads((tmp_path / "checked.json").read_text())


def test_results_are_for_all_who_may_read_the_folder(tmp_path):
    store = Store(tmp_path)
    with store.building(KEY) as build:
        assert isinstance(build, Build)
        (build.out / "file.txt").write_text("x")
        (build.out / "file.txt").chmod(0o600)
        stored = store.publish(KEY, build, {})
    assert (stored.out / "file.txt").stat().st_mode == (stored.path / "manifest.json").stat().st_mode
    assert (tmp_path / f"tmp/{KEY}.lock").stat().st_mode & 0o666 == (tmp_path / "tmp").stat().st_mode & 0o666


@pytest.mark.parametrize("content", ["null", "5", "[1]", '{"x": 5}', '{"x": [1]}', "[" * 100_000, "\udcff"])
def test_damaged_notes_on_files_are_forgotten(tmp_path, content):
    file = tmp_path / "files.json"
    file.write_text(content.replace("x", str(tmp_path / "data")), "utf-8", "surrogateescape")
    (tmp_path / "data").write_text("hello")
    assert FileDigests(file).of(tmp_path / "data") == file_digest(tmp_path / "data")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a\0b", b"x" * 5000, None])
def test_garbage_collection_stops_where_it_cannot_tell_what_a_run_uses(tmp_path, content):
    store = Store(tmp_path)
    publish(store)
    store.refer(tmp_path / "run")
    (reference,) = (tmp_path / "runs").iterdir()
    reference.unlink()
    if content is None:
        reference.mkdir()
    else:
        reference.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged, it names no run's folder"):
        list(store.referring())


def test_what_lies_behind_a_link_is_digested_too_and_no_circle_is_followed(tmp_path):
    (tmp_path / "elsewhere/inner").mkdir(parents=True)
    (tmp_path / "elsewhere/inner/config.json").write_text("{}")
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").write_text("{}")
    plain = FileDigests(tmp_path / "none").of(tmp_path / "model")
    (tmp_path / "model/1_Pooling").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/inner/up").symlink_to(tmp_path / "elsewhere")
    first = FileDigests(tmp_path / "none").of(tmp_path / "model")
    (tmp_path / "elsewhere/inner/config.json").write_text("[]")
    assert len({plain, first, FileDigests(tmp_path / "none").of(tmp_path / "model")}) == 3


def test_a_store_in_a_place_that_cannot_be_written_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="choose another folder with --store"), Store(tmp_path / "file").building(KEY):
        pass


def test_garbage_collection_removes_what_is_not_live_and_broken_builds(tmp_path):
    store = Store(tmp_path)
    publish(store, "ab" * 32)
    publish(store, "cd" * 32)
    with pytest.raises(RuntimeError), store.building("ef" * 32):
        raise RuntimeError
    removed, size = remove(store, unused(store, {"ab" * 32}))
    assert removed == 2
    assert size > 0
    assert store.get("ab" * 32)
    assert unused(store, set()) == [store.folder("ab" * 32)]


def test_garbage_collection_keeps_a_broken_build_that_a_run_will_go_on_with(tmp_path):
    store = Store(tmp_path)
    with pytest.raises(RuntimeError), store.building(KEY):
        raise RuntimeError
    assert unused(store, {KEY}) == []


def test_runs_are_found_after_they_moved_together_with_their_store(tmp_path):
    run = tmp_path / "before/runs/r/1"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    Store(tmp_path / "before/runs/.store").refer(run)
    (tmp_path / "before").rename(tmp_path / "after")
    assert list(Store(tmp_path / "after/runs/.store").referring()) == [(tmp_path / "after/runs/r/1").resolve()]


def test_runs_of_equal_names_do_not_hide_each_other(tmp_path):
    store = Store(tmp_path / "store")
    for project in ("one", "two"):
        run = tmp_path / project / "runs/r/1"
        run.mkdir(parents=True)
        (run / "run.json").write_text("{}")
        store.refer(run)
    assert len(list(store.referring())) == 2


def test_garbage_collection_leaves_a_build_in_progress(tmp_path):
    store = Store(tmp_path)
    with store.building(KEY) as build:
        assert isinstance(build, Build)
        assert remove(store, unused(store, set()))[0] == 0
        assert build.out.is_dir()


def test_file_digests_notice_a_change_and_forget_nothing(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("one")
    digests = FileDigests(tmp_path / "known.json")
    first = digests.of(file)
    digests.save()
    assert FileDigests(tmp_path / "known.json").of(file) == first
    file.write_text("two")
    assert FileDigests(tmp_path / "known.json").of(file) != first
