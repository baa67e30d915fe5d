"""What sources read in a rehearsal: a few rows of what is here, made-up ones of what is not."""

from __future__ import annotations

import json

import pytest

from embedrun import Context, Model, Rehearsal
from embedrun.errors import DataError
from embedrun.testing import small_set
from embedrun_plugins.stages.sources.beir import Beir
from embedrun_plugins.stages.sources.documents import Documents
from embedrun_plugins.stages.sources.hub import Hub
from embedrun_plugins.stages.sources.llama_index import LlamaIndex
from embedrun_plugins.stages.sources.pairs import Pairs
from written_documents import pdf, tokenizer_only


@pytest.fixture
def read(tmp_path):
    """Read the set of a source's rehearsal; returns it and what is noted."""

    def reading(stage, model=None):
        rehearsal = Rehearsal(tmp_path / "rehearsal")
        rehearsal.folder.mkdir()
        instead = stage.rehearsal(rehearsal)
        (tmp_path / "out").mkdir()
        ctx = Context(out=tmp_path / "out", state=tmp_path, model=model, offline=True)
        return instead.run(ctx), " ".join(note.sentence for note in rehearsal.notes)

    return reading


def _rows(path, count, **more):
    rows = [{"anchor": f"where is item {n}?", "positive": f"Item {n} is in room {n}.", **more} for n in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_pairs_are_a_few_of_the_file_with_the_same_splits(tmp_path, read):
    file = _rows(tmp_path / "pairs.jsonl", 5_000)
    made, notes = read(Pairs(path=file, holdout={"test": 700, "dev": 0.05}))
    assert "30 rows of pairs.jsonl" in notes
    assert set(made.splits) == {"train", "dev", "test"}
    assert len(made.queries) == 30
    assert {query.text for query in made.queries.values()} <= {f"where is item {n}?" for n in range(5_000)}


def test_questions_that_share_a_passage_leave_some_that_can_be_held_out(tmp_path, read):
    rows = [{"question": f"what of {n}?", "context": f"Passage {n // 50}."} for n in range(2_000)]
    file = tmp_path / "pairs.json"
    file.write_text(json.dumps(rows), "utf-8")
    made, _ = read(Pairs(path=file, holdout=0.1))
    assert len(made.relevant("test")) >= 2


@pytest.mark.parametrize("name", ["gone.csv", "gone.parquet", "gone.json"])
def test_pairs_that_are_not_here_are_made_up_with_the_declared_columns(tmp_path, read, name):
    columns = {
        "anchor": "frage",
        "positive": "antwort",
        "negative": ["falsch_1", "falsch_2"],
        "score": "note",
        "metadata": "quelle",
    }
    made, notes = read(Pairs(path=tmp_path / name, columns=columns, holdout=0.2))
    assert f"{name} is not here" in notes
    assert made.negatives()
    assert {judgement.score for judgement in made.qrels("train")} == {0.0, 1.0}
    assert all("quelle" in document.metadata for document in made.documents.values() if document.metadata)


def test_each_file_of_a_split_that_is_not_here_is_made_up(tmp_path, read):
    file = _rows(tmp_path / "train.jsonl", 10)
    made, notes = read(Pairs(path={"train": file, "test": tmp_path / "test.jsonl"}))
    assert "10 rows of train.jsonl" in notes
    assert "test.jsonl is not here" in notes
    assert set(made.splits) == {"train", "test"}


def test_a_row_that_cannot_be_read_is_refused_in_a_rehearsal_too(tmp_path, read):
    file = _rows(tmp_path / "pairs.jsonl", 4)
    file.write_text(file.read_text("utf-8") + '{"anchor": \n', "utf-8")
    with pytest.raises(DataError, match=r"pairs\.jsonl:5"):
        read(Pairs(path=file))


def test_a_data_set_that_is_not_cached_is_made_up(read, monkeypatch, tmp_path):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    stage = Hub(dataset="someone/rows", columns={"anchor": "q", "positive": "c"}, holdout={"test": 0.1, "dev": 0.05})
    made, notes = read(stage)
    assert "someone/rows is not cached here" in notes
    assert set(made.splits) == {"train", "dev", "test"}


def test_a_beir_folder_is_cut_to_a_few_queries_of_each_split(tmp_path, read):
    small_set(tmp_path / "beir")
    made, _ = read(Beir(path=tmp_path / "beir"))
    assert set(made.splits) == {"train", "dev", "test"}
    assert len(made.relevant("test")) == 4
    assert made.negatives()


def test_a_large_beir_folder_is_not_read_to_its_end(tmp_path, read):
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    rows = "".join(json.dumps({"_id": f"d{n}", "text": f"Text {n}."}) + "\n" for n in range(50_010))
    (folder / "corpus.jsonl").write_text(rows + "no JSON", "utf-8")
    asked = "".join(json.dumps({"_id": f"q{n}", "text": f"what is text {n}?"}) + "\n" for n in range(100))
    (folder / "queries.jsonl").write_text(asked, "utf-8")
    judged = "".join(f"q{n}\td{n * 1000}\t1\n" for n in range(100))
    (folder / "qrels/test.tsv").write_text(judged, "utf-8")
    made, _ = read(Beir(path=folder))
    assert len(made.relevant("test")) == 12
    assert len(made.documents) < 50


def test_a_beir_folder_that_is_not_here_is_made_up(tmp_path, read):
    made, notes = read(Beir(path=tmp_path / "gone"))
    assert "gone is not here" in notes
    assert set(made.splits) == {"train", "dev", "test"}
    assert made.negatives()


def test_a_llama_index_folder_is_cut(tmp_path, read):
    for name in ("train", "val"):
        corpus = {f"{name}-{n}": f"Chunk {n} of {name}." for n in range(100)}
        queries = {f"{name}-q{n}": f"what is in chunk {n} of {name}?" for n in range(100)}
        held = {"corpus": corpus, "queries": queries, "relevant_docs": {q: [q.replace("q", "")] for q in queries}}
        (tmp_path / f"{name}.json").write_text(json.dumps(held), "utf-8")
    made, _ = read(LlamaIndex(path=tmp_path))
    assert len(made.relevant("train")) == len(made.relevant("test")) == 12


def test_a_llama_index_folder_that_is_not_here_is_made_up(tmp_path, read):
    made, notes = read(LlamaIndex(path=tmp_path / "gone"))
    assert "is not here" in notes
    assert set(made.splits) == {"train", "test"}


def test_documents_are_the_beginnings_of_a_few_files_in_the_same_splits(tmp_path, read):
    model = Model(tokenizer_only(tmp_path / "model", reads=512))
    filings = tmp_path / "filings"
    filings.mkdir()
    for company in ("lyft", "uber"):
        for year in range(2000, 2020):
            text = "\n\n".join(f"Sentence {n} of {company} in {year} stands here." for n in range(3_000))
            (filings / f"{company}_{year}.md").write_text(text, "utf-8")
    stage = Documents(path=filings, splits={"train": ["lyft"], "test": ["uber"]}, size=64)
    made, notes = read(stage, model)
    assert "the beginning of 4 of 20 files (train)" in notes
    assert {document.metadata["split"] for document in made.documents.values()} == {"train", "test"}
    assert 10 < len(made.documents) < 100


def test_the_first_pages_of_a_long_pdf_are_read(tmp_path, read):
    model = Model(tokenizer_only(tmp_path / "model", reads=512))
    pages = [f"Page {n} tells what happened on day {n}.\nIt rained in place {n}." for n in range(300)]
    (tmp_path / "long.pdf").write_bytes(pdf(pages))
    made, _ = read(Documents(path=tmp_path / "long.pdf", size=64, pdf_reader="pypdfium2"), model)
    texts = " ".join(document.text for document in made.documents.values())
    assert "Page 0 tells" in texts
    assert "Page 299 tells" not in texts


@pytest.mark.parametrize("size", [24, 254, 1024, None])
def test_documents_that_are_not_here_are_made_up_in_the_same_splits(tmp_path, read, size):
    model = Model(tokenizer_only(tmp_path / "model", reads=512))
    splits = {"train": ["lyft"], "test": ["uber"]}
    made, notes = read(Documents(path=tmp_path / "filings", splits=splits, size=size, overlap=0), model)
    assert "filings is not here: made-up passages are used instead" in notes
    counts = {split: len(made.searched(split)) for split in ("train", "test")}
    assert counts["train"] >= 14
    assert counts["test"] >= 6
