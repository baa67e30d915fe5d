"""What is published is whole, and what is not is never seen."""

from __future__ import annotations

import pytest

from embedrun.errors import StoreError
from embedrun.store import Build, FileDigests, Store, Stored
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
        (stored.path / file).write_text(content)
    assert store.get(KEY) is None
    again = publish(store)
    assert again.digest == stored.digest
    assert (again.out / "file.txt").read_text() == "hello"


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
