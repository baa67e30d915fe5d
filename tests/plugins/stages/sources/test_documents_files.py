"""Which files the documents source reads, and what its key depends on."""

import json

import pytest
from pydantic import ValidationError

from embedrun.context import Resolver
from embedrun.plan import keyed
from embedrun_plugins.stages.sources.documents import Documents
from written_documents import words

FILES = {
    "b.txt": words(0, 20),
    "a.md": words(30, 20),
    "2020/x.txt": words(60, 20),
    "2021/x.txt": words(90, 20),
    "2021/photo.jpg": b"\xff\xd8",
    ".hidden/x.txt": "not this",
    "2021/~$lock.docx": "nor this",
}


def source(path, **keys) -> Documents:
    return Documents.model_validate({"path": path, **keys})


def names(path, **keys) -> dict:
    return dict(source(path, **keys).resolve(Resolver()).files)


def faults(path, **keys) -> str:
    return "\n".join(source(path, **keys).faults())


def test_a_folder_is_read_in_order_without_hidden_and_other_files(harvest, folder):
    place = str(folder(FILES))
    assert list(names(place)) == ["2020/x.txt", "2021/x.txt", "a.md", "b.txt"]
    assert faults(place) == ""
    given = harvest(place)
    assert [d.metadata["source"] for d in given.data.documents.values()] == list(names(place))
    assert given.notes["files_of_other_kinds_skipped"] == 1
    assert given.notes["files_of_other_kinds_first"] == ["2021/photo.jpg"]


def test_files_folders_and_patterns_can_be_listed(folder):
    place = folder(FILES)
    assert list(names([f"{place}/2020", f"{place}/*.txt"])) == ["b.txt", "x.txt"]
    assert list(names(f"{place}/**/*.txt")) == ["2020/x.txt", "2021/x.txt", "b.txt"]
    assert list(names(f"{place}/20*")) == ["2020/x.txt", "2021/x.txt"]
    assert list(names(f"{place}/2021/x.txt")) == ["x.txt"]


def test_files_of_one_name_are_told_apart_by_their_folders(folder):
    place = folder(FILES)
    assert list(names([f"{place}/2020/x.txt", f"{place}/2021"])) == ["2020/x.txt", "2021/x.txt"]


def test_a_file_found_twice_is_read_once(folder):
    place = folder(FILES)
    assert list(names([str(place), f"{place}/b.txt"])).count("b.txt") == 1


def test_a_link_is_read_by_its_own_name(folder, tmp_path):
    """As a dataset of the hub lies in its cache."""
    place = folder({"a.txt": words(0, 20)})
    (tmp_path / "blob").write_text(words(30, 20))
    (place / "linked.txt").symlink_to(tmp_path / "blob")
    for path in (str(place), f"{place}/*.txt"):
        assert list(names(path)) == ["a.txt", "linked.txt"]
    assert list(names(f"{place}/linked.txt")) == ["linked.txt"]
    (place / "again.txt").symlink_to(place / "a.txt")
    assert list(names(str(place))) == ["a.txt", "linked.txt"]


def test_a_name_may_hold_the_letters_of_patterns(folder):
    assert list(names(str(folder({"report [final].txt": "x"}) / "report [final].txt"))) == ["report [final].txt"]


def test_paths_are_sought_beside_the_recipe(folder, tmp_path, monkeypatch):
    folder(FILES)
    monkeypatch.chdir(tmp_path.parent)
    for path in ("documents", "documents/*.md"):
        found = Documents.model_validate({"path": path}, context={"folder": tmp_path})
        assert [file.suffix for file in found.inputs()][-1] in (".txt", ".md")
        assert all(file.is_absolute() and file.exists() for file in found.inputs())


@pytest.mark.parametrize(
    ("train", "test"),
    [("lyft", "uber"), (["lyft_2021"], ["uber_2021"]), (["lyft_2021.txt"], "uber*"), ("old", "uber"), ("l*", "[tu]*")],
)
def test_files_are_divided_by_names_folders_and_patterns(harvest, folder, train, test):
    place = str(folder({"lyft_2021.txt": words(0, 20), "uber_2021.txt": words(50, 20), "old/lyft.txt": words(80, 20)}))
    given = harvest(place, splits={"train": train, "test": test})
    found = {d.metadata["source"]: d.metadata["split"] for d in given.data.documents.values()}
    assert found["uber_2021.txt"] == "test"
    assert {split for name, split in found.items() if "lyft" in name} == {"train"}
    assert [d.metadata["source"] for d in given.data.searched("test")] == ["uber_2021.txt"]


def test_files_can_be_given_by_split(harvest, folder):
    place = folder(FILES)
    given = harvest({"test": f"{place}/2021", "train": [f"{place}/2020", f"{place}/*.txt"]})
    splits = {d.metadata["source"]: d.metadata["split"] for d in given.data.documents.values()}
    assert splits == {"2020/x.txt": "train", "2021/x.txt": "test", "b.txt": "train"}
    assert source({"test": str(place)}).splits_given() == {"test"}


def test_files_that_match_no_split_are_left_out_with_a_warning(harvest, folder):
    given = harvest(str(folder(FILES)), splits={"train": ["2020"], "test": ["2021"]})
    assert len(given.data.documents) == 2
    assert "2 files match no pattern of 'splits' and are left out: a.md, b.txt" in given.warnings[0]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"splits": {"train": ["20*"], "test": ["2021"]}}, "splits: 2021/x.txt is in train ('20*') and test ('2021')"),
        ({"splits": {"train": ["bb.txt"]}}, "splits.train: 'bb.txt' matches no file; did you mean 'b.txt'?"),
        ({"splits": {"test": ["qqqq"]}}, "splits.test: 'qqqq' matches no file; there are 2020/x.txt, 2021/x.txt, a.md"),
        ({"overlap": 30, "size": 20}, "overlap: 30 tokens must be fewer than 'size', which is 20"),
        ({"holdout": 0.1, "splits": {"test": ["a"]}}, "holdout: takes from the train split"),
        ({"holdout": 0.1, "splits": {"test": ["a"], "train": ["b"]}}, "holdout.test: the data brings a test split"),
        ({"files": {"gone.txt": None}}, "files: gone.txt is no longer among the files of 'path'"),
    ],
)
def test_what_cannot_be_meant_is_a_fault(folder, keys, says):
    assert says in faults(str(folder(FILES)), **keys)


def test_a_place_without_documents_is_a_fault(folder, tmp_path):
    place = folder({"photo.jpg": "x", "b.doc": "x"})
    assert "no document in" in faults(str(place))
    assert "b.doc, photo.jpg: of a kind that cannot be read" in faults(str(place))
    assert f"path: {place}/*.pdf: matches no file" in faults(f"{place}/*.pdf")
    assert "'.doc' is not a readable kind of document; save it as .docx" in faults(f"{place}/b.doc")
    (tmp_path / "empty").mkdir()
    assert f"path: no document in {tmp_path}/empty; readable kinds: .pdf, .txt" in faults(str(tmp_path / "empty"))


def test_a_file_in_two_splits_is_a_fault(folder):
    place = folder(FILES)
    assert f"{place}/a.md is given for two splits" in faults({"train": f"{place}/*.md", "test": str(place)})


def test_what_is_missing_is_left_to_the_check_of_inputs(tmp_path):
    for path in (tmp_path / "none.pdf", tmp_path / "none/*.pdf"):
        missing = source(str(path))
        assert list(missing.faults()) == []
        assert [place.exists() for place in missing.inputs()] == [False]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"path": []}, "must be a file, a folder or a pattern"),
        ({"path": {"trian": "a"}}, "there is no split 'trian'"),
        ({"path": {}}, "names no files"),
        ({"path": {"train": ""}}, "must be a file"),
        ({"path": {"train": "a"}, "splits": {"train": ["a"]}}, "leave 'splits' out"),
        ({"path": "a", "splits": {}}, "at least 1"),
        ({"path": "a", "encoding": "utf-9"}, "Python knows no encoding 'utf-9'"),
        ({"path": "a", "encoding": "base64"}, "Python knows no encoding 'base64'"),
        ({"path": "a", "size": 0}, "greater than or equal to 1"),
    ],
)
def test_a_wrong_key_is_refused(keys, says):
    with pytest.raises(ValidationError, match=says):
        Documents.model_validate(keys)


def test_the_key_depends_on_names_splits_and_content_and_not_on_where_they_lie(folder, tmp_path):
    place = folder(FILES)
    first = source(str(place)).resolve(Resolver())
    place.rename(tmp_path / "moved")
    assert keyed(source(str(tmp_path / "moved")).resolve(Resolver())) == keyed(first)
    (tmp_path / "moved/a.md").rename(tmp_path / "moved/c.md")
    renamed = source(str(tmp_path / "moved")).resolve(Resolver())
    assert keyed(renamed) != keyed(first)
    divided = source(str(tmp_path / "moved"), splits={"train": ["2020", "2021", "b", "c"]}).resolve(Resolver())
    assert keyed(divided) != keyed(renamed)
    assert str(tmp_path) not in json.dumps(keyed(divided))


def test_a_run_reads_what_was_found_when_it_began(harvest, folder):
    place = folder(FILES)
    found = source(str(place)).resolve(Resolver())
    folder({"later.txt": words(300, 20)})
    locked = json.loads(found.model_dump_json())
    assert "later.txt" not in [path.name for path in Documents.model_validate(locked).inputs()]
    assert len(harvest(locked["path"], files=locked["files"]).data.documents) == 4


def test_only_what_the_files_need_must_be_installed(folder):
    place = folder({"a.txt": "x", "b.pdf": "x", "c.html": "x", "d.docx": "x"})
    assert set(source(f"{place}/a.txt").needs()) == {"semantic_text_splitter"}
    assert set(source(f"{place}/a.txt", size=None).needs()) == set()
    assert set(source(str(place), pdf_reader="pypdfium2").needs()) == {
        "semantic_text_splitter", "pypdfium2", "bs4", "lxml", "docx",
    }  # fmt: skip
    assert set(source(f"{place}/b.pdf").needs()) == {"semantic_text_splitter", "pypdf"}


def test_the_plan_tells_how_much_there_is_to_read(folder):
    assert source(str(folder(FILES))).forecast(None) == {"files": 4, "megabytes": 0.0}
