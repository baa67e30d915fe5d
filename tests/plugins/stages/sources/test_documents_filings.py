"""The documents source on two annual reports of 238 and 307 pages, by the real model's tokenizer."""

import pypdfium2
import pytest
from pypdf import PdfReader, PdfWriter

from embedrun.artifacts import Model
from embedrun_plugins.stages.sources.documents import Documents


@pytest.fixture
def filings(data, minilm, read):
    def run(path, **keys):
        source = Documents.model_validate({"path": str(data / "llamaindex-10k/pdf" / path), **keys})
        assert list(source.faults()) == []
        return read(source, model=Model(minilm))

    return run


def test_two_filings_make_a_corpus_for_each_split(filings):
    given = filings("", splits={"train": ["lyft"], "test": ["uber"]}, pdf_reader="pypdfium2")
    train, test = given.data.searched("train"), given.data.searched("test")
    assert {d.metadata["source"] for d in train} == {"lyft_2021.pdf"}
    assert (train[-1].metadata["pages"][-1], test[-1].metadata["pages"][-1]) == (238, 307)
    assert 150 < len(train) < len(test) < 350
    assert given.notes["longest_passage"] <= 1024
    # The model reads 256 tokens, two of them special.
    assert given.notes["share_of_tokens_lost"] == pytest.approx(0.72, abs=0.02)
    assert "longer than the 254 tokens" in given.warnings[0]
    assert "lyft_2021.pdf: 167" in given.warnings[1]
    assert len(given.warnings) == 2


@pytest.fixture
def part(data, tmp_path):
    """Thirty pages of the first filing."""
    writer = PdfWriter()
    for page in PdfReader(data / "llamaindex-10k/pdf/lyft_2021.pdf").pages[3:33]:
        writer.add_page(page)
    writer.write(tmp_path / "part.pdf")
    return tmp_path / "part.pdf"


def test_no_line_of_the_pages_is_lost_to_splitting(filings, part):
    given = filings(part, pdf_reader="pypdfium2", size=254, boilerplate=False)
    made = "".join("".join(d.text.split()) for d in given.data.documents.values())
    for page in pypdfium2.PdfDocument(part):
        for line in page.get_textpage().get_text_bounded().splitlines():
            assert "".join(line.split())[:40].replace("\x02", "-") in made
    assert given.notes["share_of_tokens_lost"] == 0
    assert given.warnings == []


def test_a_reader_that_loses_spaces_is_named(filings, part):
    assert "pypdf seems to lose spaces" in filings(part).warnings[-1]
    assert not any("spaces" in warning for warning in filings(part, pdf_reader="pypdfium2").warnings)
