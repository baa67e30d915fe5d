"""Text that stands where readers pass it over: controls, forms, buttons, broken words; and text that is none."""

import io

import docx
import pytest
from docx.oxml import parse_xml
from docx.oxml.ns import nsdecls
from pypdf import PdfReader, PdfWriter
from pypdf.generic import ArrayObject, DictionaryObject, NameObject, NumberObject, TextStringObject

from embedrun.errors import DataError
from written_documents import pdf, unlike, words, written

READERS = ["pypdf", "pypdfium2"]


def texts(given) -> str:
    return "\n".join(document.text for document in given.data.documents.values())


def word_file(*elements: str) -> bytes:
    document = docx.Document()
    for element in elements:
        tag, rest = element.split(">", 1)
        name, _, attributes = tag.partition(" ")
        document.element.body.insert(-1, parse_xml(f"{name} {nsdecls('w')} {attributes}>{rest}"))
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def control(content: str, properties: str = "") -> str:
    return f"<w:sdt><w:sdtPr>{properties}</w:sdtPr><w:sdtContent>{content}</w:sdtContent></w:sdt>"


def test_words_content_controls_fields_and_insertions_are_read(harvest, folder):
    run = "<w:r><w:t>{}</w:t></w:r>"
    file = word_file(
        paragraph("The first paragraph stands alone."),
        control(paragraph("The nested block is here.") + control(paragraph("So is the one inside of it."))),
        f"<w:p><w:r><w:t xml:space='preserve'>On duty: </w:t></w:r>{control(run.format('Ostrava'))}"
        f"<w:ins w:id='1' w:author='a'>{run.format(', since May')}</w:ins>"
        f"<w:fldSimple w:instr='DATE'>{run.format(', by the date')}</w:fldSimple></w:p>",
        "<w:tbl><w:tblPr/><w:tblGrid><w:gridCol/><w:gridCol/></w:tblGrid>"
        f"<w:tr>{control('<w:tc>' + paragraph('Berth') + '</w:tc>')}<w:tc>{control(paragraph('seven'))}</w:tc></w:tr>"
        "</w:tbl>",
        control(paragraph("Click here to enter text."), "<w:showingPlcHdr/>"),
        control(
            paragraph("Chapter one ..... 3"),
            "<w:docPartObj><w:docPartGallery w:val='Table of Contents'/></w:docPartObj>",
        ),
    )
    assert texts(harvest(str(folder({"a.docx": file})))).split("\n\n") == [
        "The first paragraph stands alone.",
        "The nested block is here.",
        "So is the one inside of it.",
        "On duty: Ostrava, since May, by the date",
        "Berth | seven",
    ]


def test_buttons_that_head_a_section_are_read_and_others_are_not(harvest, folder):
    page = """<h2><button>How is a berth booked?</button></h2><p>By letter, before October.</p>
        <button><h3>What does it cost?</h3></button><p>Forty a metre, in advance. <button>Copy</button></p>
        <details><summary><button>And for dogs?</button></summary>They stay at home.</details>"""
    given = harvest(str(folder({"a.html": page})))
    assert texts(given).split("\n\n") == [
        "How is a berth booked?",
        "By letter, before October.",
        "What does it cost?",
        "Forty a metre, in advance.",
        "And for dogs?",
        "They stay at home.",
    ]


def form(*fields: dict) -> bytes:
    """Return a PDF of one page with these filled fields; the first two share the entries of a parent."""
    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(pdf(["Report of the harbour. Fill in every field."]))))
    box = ArrayObject([NumberObject(number) for number in (50, 50, 200, 70)])
    references = []
    for number, entries in enumerate(fields):
        widget = DictionaryObject({NameObject("/Type"): NameObject("/Annot"), NameObject("/Rect"): box})
        widget[NameObject("/Subtype")] = NameObject("/Widget")
        widget[NameObject("/T")] = TextStringObject(f"field{number}")
        for name, value in entries.items():
            widget[NameObject(name)] = NameObject(value) if value[:1] == "/" else TextStringObject(value)
        if "/Ff" in entries:
            widget[NameObject("/Ff")] = NumberObject(int(entries["/Ff"]))
        references.append(writer._add_object(widget))
    writer.pages[0][NameObject("/Annots")] = ArrayObject(references)
    writer._root_object[NameObject("/AcroForm")] = writer._add_object(
        DictionaryObject({NameObject("/Fields"): ArrayObject(references)})
    )
    return written(writer)


@pytest.mark.parametrize("reader", READERS)
def test_what_is_typed_into_a_pdfs_form_is_read_with_the_fields_description(harvest, folder, reader):
    file = form(
        {"/FT": "/Tx", "/V": "Grey Pelican", "/TU": "Vessel:"},
        {"/FT": "/Tx", "/V": "Worn rope, “old” čable"},
        {"/FT": "/Ch", "/V": "Berth seven"},
        {"/FT": "/Tx", "/V": "hunter2", "/Ff": "8192"},
        {"/FT": "/Btn", "/V": "/Yes"},
        {"/FT": "/Tx"},
    )
    given = harvest(str(folder({"a.pdf": file})), pdf_reader=reader)
    assert texts(given).split("\n") == [
        "Report of the harbour. Fill in every field.",
        "Vessel: Grey Pelican",
        "Worn rope, “old” čable",
        "Berth seven",
    ]


def shifted(text: str) -> str:
    """Return what readers find where a font tells the numbers of its shapes only."""
    return "".join("\n" if letter == "\n" else chr(max(ord(letter) - 29, 3)) for letter in text)


@pytest.mark.parametrize("reader", READERS)
def test_pages_whose_fonts_tell_no_letters_are_refused_or_named(harvest, folder, reader, monkeypatch):
    from embedrun_plugins.stages.sources.readers import pdf as module

    name = "_by_pdfium" if reader == "pypdfium2" else "_by_pypdf"
    found = module._PdfText([shifted("The dancers hurried to the door and shut it behind them."), words(0, 30)])
    monkeypatch.setattr(module, name, lambda *_: found)
    place = str(folder({"a.pdf": pdf([unlike(0)])}))
    (warning,) = harvest(place, pdf_reader=reader).warnings
    assert warning.startswith("pages whose fonts do not say which letters they show")
    assert "a.pdf: 1;" in warning
    del found.pages[1]
    with pytest.raises(DataError, match=r"a\.pdf: has fonts that do not say which letters .* ocrmypdf --force-ocr"):
        harvest(place, pdf_reader=reader)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("hyphen", ["-", "\xad"])
def test_words_broken_at_a_lines_end_are_joined_though_they_stand_nowhere_else(harvest, folder, reader, hyphen):
    page = f"""The harbour keeps one infor{hyphen}
mation board for the seamen and one engi{hyphen}
neering shop for the repair of pumps."""
    whole = "The harbour keeps one information board for the seamen and one engineering shop for the repair of pumps."
    assert texts(harvest(str(folder({"a.pdf": pdf([page])})), pdf_reader=reader)) == whole


@pytest.mark.parametrize("reader", READERS)
def test_a_hyphen_stays_between_two_words_that_the_document_knows(harvest, folder, reader):
    page = "The clerks are well paid, and known for it; they wrote of a well-\nknown ship."
    assert "a well-known ship." in texts(harvest(str(folder({"a.pdf": pdf([page])})), pdf_reader=reader))
